//! The value of a condition at a place of a run.

use super::{Binary, Expr, Unary, registers};
use crate::control::quiet_walk;
use dejavm_core::machine::Machine;
use dejavm_core::types::Gpa;

/// A place of a run.
pub struct View<'a> {
    /// The machine there.
    pub machine: &'a Machine,
    /// Whether a line of the console has matched a pattern by then.
    pub matched: &'a dyn Fn(usize) -> bool,
}

/// The value of an expression; none if it needs memory that is not there.
pub(super) fn value(expr: &Expr, view: &View<'_>) -> Option<u64> {
    let machine = view.machine;
    match expr {
        Expr::Number(value) => Some(*value),
        Expr::Icount => Some(machine.position().icount),
        Expr::Ns => Some(machine.position().now_ns),
        Expr::Vcpu => Some(machine.current_vcpu() as u64),
        Expr::Register { name, vcpu } => {
            let cpu = machine.vcpus().get(vcpu.unwrap_or(machine.current_vcpu()))?;
            registers::value(&cpu.state, name)
        }
        Expr::Memory { address, size, physical } => memory(value(address, view)?, *size, *physical, machine),
        Expr::Console(pattern) => Some((view.matched)(*pattern).into()),
        Expr::Unary(operator, inner) => {
            let inner = value(inner, view);
            match operator {
                Unary::Not => Some((inner.unwrap_or(0) == 0).into()),
                Unary::Minus => inner.map(u64::wrapping_neg),
                Unary::Complement => inner.map(|v| !v),
            }
        }
        Expr::Binary(operator, left, right) => binary(*operator, left, right, view),
    }
}

fn binary(operator: Binary, left: &Expr, right: &Expr, view: &View<'_>) -> Option<u64> {
    let truth = |expr: &Expr| value(expr, view).is_some_and(|v| v != 0);
    match operator {
        Binary::Or => return Some((truth(left) || truth(right)).into()),
        Binary::And => return Some((truth(left) && truth(right)).into()),
        _ => {}
    }
    let (left, right) = (value(left, view), value(right, view));
    let compare = |holds: fn(&u64, &u64) -> bool| {
        Some(left.zip(right).is_some_and(|(left, right)| holds(&left, &right)).into())
    };
    match operator {
        Binary::Eq => return compare(u64::eq),
        Binary::Ne => return compare(u64::ne),
        Binary::Lt => return compare(u64::lt),
        Binary::Le => return compare(u64::le),
        Binary::Gt => return compare(u64::gt),
        Binary::Ge => return compare(u64::ge),
        _ => {}
    }
    arithmetic(operator, left?, right?)
}

/// None for a division by zero.
fn arithmetic(operator: Binary, left: u64, right: u64) -> Option<u64> {
    let shift = u32::try_from(right).unwrap_or(u32::MAX);
    match operator {
        Binary::BitOr => Some(left | right),
        Binary::BitXor => Some(left ^ right),
        Binary::BitAnd => Some(left & right),
        Binary::Shl => Some(left.checked_shl(shift).unwrap_or(0)),
        Binary::Shr => Some(left.checked_shr(shift).unwrap_or(0)),
        Binary::Add => Some(left.wrapping_add(right)),
        Binary::Sub => Some(left.wrapping_sub(right)),
        Binary::Mul => Some(left.wrapping_mul(right)),
        Binary::Div => left.checked_div(right),
        Binary::Rem => left.checked_rem(right),
        Binary::Or | Binary::And | Binary::Eq | Binary::Ne => None,
        Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => None,
    }
}

fn memory(address: u64, size: u8, physical: bool, machine: &Machine) -> Option<u64> {
    let mut bytes = [0; 8];
    let piece = &mut bytes[..usize::from(size)];
    let cpu = &machine.vcpus().get(machine.current_vcpu())?.state;
    let there = if physical {
        quiet_walk::read_physical(machine.memory(), Gpa(address), piece)
    } else {
        quiet_walk::read_virtual(machine.memory(), cpu, address, piece)
    };
    there.then(|| u64::from_le_bytes(bytes))
}
