//! `query-qmp-schema`: commands, events and types as entries, types under numbers as QEMU has
//! them (clients must not rely on a type's name).

use super::{Member, Type};
use crate::qmp::commands::Command;
use crate::qmp::event::EventKind;
use serde_json::{Value, json};

/// All entries for these commands and events.
pub(crate) fn introspect(commands: &[&Command], events: &[EventKind]) -> Vec<Value> {
    let mut types = Types::default();
    let mut entries = Vec::new();
    for command in commands {
        let arguments = types.name(&Type::Object(command.arguments));
        let result = types.name(&command.returns);
        let mut entry = json!({
            "name": command.name, "meta-type": "command", "arg-type": arguments, "ret-type": result,
        });
        if command.allow_oob {
            entry["allow-oob"] = json!(true);
        }
        entries.push(entry);
    }
    for event in events {
        let data = types.name(&Type::Object(event.data()));
        entries.push(json!({"name": event.name(), "meta-type": "event", "arg-type": data}));
    }
    entries.extend(types.entries.into_iter().map(|(_, entry)| entry));
    entries
}

/// The types met so far: what each is, and its entry.
#[derive(Default)]
struct Types {
    entries: Vec<(String, Value)>,
    numbers: usize,
}

impl Types {
    /// The name of a type; its entry, and those of all that it is made of, are there then.
    fn name(&mut self, kind: &Type) -> String {
        match kind {
            Type::Str => self.builtin("str", "string"),
            Type::Int => self.builtin("int", "int"),
            Type::Bool => self.builtin("bool", "boolean"),
            Type::Any => self.builtin("any", "value"),
            Type::Array(item) => {
                let item = self.name(item);
                let name = format!("[{item}]");
                let entry = json!({"name": name, "meta-type": "array", "element-type": item});
                self.add(name.clone(), name, entry)
            }
            Type::Enum(words) => self.numbered(&format!("{words:?}"), &|_, number| {
                let members: Vec<_> = words.iter().map(|word| json!({"name": word})).collect();
                json!({"name": number, "meta-type": "enum", "values": words, "members": members})
            }),
            Type::Object(members) => self.numbered(&format!("{members:?}"), &|types, number| {
                json!({"name": number, "meta-type": "object", "members": types.members(members)})
            }),
            Type::Union { base, tag, variants } => self.numbered(&format!("{kind:?}"), &|types, number| {
                let members = types.members(base);
                let cases: Vec<_> = variants
                    .iter()
                    .map(|(case, more)| json!({"case": case, "type": types.name(&Type::Object(more))}))
                    .collect();
                json!({
                    "name": number, "meta-type": "object", "members": members,
                    "tag": tag, "variants": cases,
                })
            }),
        }
    }

    fn members(&mut self, members: &[Member]) -> Vec<Value> {
        let entry = |types: &mut Self, member: &Member| {
            let mut entry = json!({"name": member.name, "type": types.name(&member.kind)});
            if member.optional {
                entry["default"] = Value::Null;
            }
            entry
        };
        members.iter().map(|member| entry(self, member)).collect()
    }

    fn builtin(&mut self, name: &str, json_type: &str) -> String {
        let entry = json!({"name": name, "meta-type": "builtin", "json-type": json_type});
        self.add(name.to_owned(), name.to_owned(), entry)
    }

    fn add(&mut self, key: String, name: String, entry: Value) -> String {
        if self.entries.iter().all(|(known, _)| *known != key) {
            self.entries.push((key, entry));
        }
        name
    }

    /// A type that is named by a number; types that are the same have the same one.
    fn numbered(&mut self, key: &str, entry: &dyn Fn(&mut Self, &str) -> Value) -> String {
        if let Some((_, known)) = self.entries.iter().find(|(known, _)| known == key) {
            return known["name"].as_str().unwrap_or_default().to_owned();
        }
        let number = self.numbers.to_string();
        self.numbers += 1;
        let place = self.entries.len();
        self.entries.push((key.to_owned(), json!({"name": number})));
        let entry = entry(self, &number);
        self.entries[place].1 = entry;
        number
    }
}
