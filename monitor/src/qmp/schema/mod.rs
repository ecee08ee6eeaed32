//! The types of arguments, results and events. Arguments are checked against them before a
//! command sees them, and `query-qmp-schema` is made of them, so that it is true.

mod check;
mod introspect;

pub use check::check_arguments;
#[cfg(test)]
pub use check::check_value;
pub(crate) use introspect::introspect;

/// A type of the interface.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A string.
    Str,
    /// A 64-bit integer, with a sign or without.
    Int,
    /// True or false.
    Bool,
    /// Any value.
    Any,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A list.
    Array(&'static Type),
    /// An object with these members.
    Object(&'static [Member]),
    /// An object with these members, and those that the word in the member `tag` brings.
    Union {
        /// The members that are always there.
        base: &'static [Member],
        /// The member that decides.
        tag: &'static str,
        /// What each word brings.
        variants: &'static [(&'static str, &'static [Member])],
    },
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Whether it may be left out.
    pub optional: bool,
}

/// A member that must be there.
pub const fn required(name: &'static str, kind: Type) -> Member {
    Member { name, kind, optional: false }
}

/// A member that may be left out.
pub const fn optional(name: &'static str, kind: Type) -> Member {
    Member { name, kind, optional: true }
}

/// The object without members.
pub const NOTHING: Type = Type::Object(&[]);
