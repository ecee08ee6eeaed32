//! What the conditions of a query leave of a run: a stretch in icounts.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use dejavm_core::types::Icount;
use std::ops::Range;

/// The column that tells where in the run a row is.
pub const ICOUNT: &str = "icount";

/// All of any run.
pub const EVERYTHING: Range<Icount> = 0..Icount::MAX;

/// A stretch that no row outside of can meet all of `conditions`.
pub fn stretch(conditions: &[Expr]) -> Range<Icount> {
    conditions.iter().map(of).fold(EVERYTHING, |a, b| intersection(&a, &b))
}

fn of(condition: &Expr) -> Range<Icount> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            intersection(&of(left), &of(right))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => hull(of(left), of(right)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (number(left), number(right)) {
            (None, Some(n)) if is_icount(left) => compared(*op, n),
            (Some(n), None) if is_icount(right) => op.swap().map_or(EVERYTHING, |op| compared(op, n)),
            _ => EVERYTHING,
        },
        Expr::Between(between) if !between.negated && is_icount(&between.expr) => {
            let low = number(&between.low).map_or(0, clamp);
            let high = number(&between.high).map_or(Icount::MAX, |n| clamp(n).saturating_add(1));
            low..high
        }
        Expr::InList(list) if !list.negated && is_icount(&list.expr) => {
            let numbers: Option<Vec<i128>> = list.list.iter().map(number).collect();
            let equal = |numbers: Vec<i128>| numbers.into_iter().map(|n| compared(Operator::Eq, n));
            numbers.and_then(|numbers| equal(numbers).reduce(hull)).unwrap_or(EVERYTHING)
        }
        _ => EVERYTHING,
    }
}

/// What `icount OP number` leaves.
fn compared(op: Operator, number: i128) -> Range<Icount> {
    let at = clamp(number);
    let behind = clamp(number.saturating_add(1));
    match op {
        Operator::Eq if number < 0 => 0..0,
        Operator::Eq => at..behind,
        Operator::Lt => 0..at,
        Operator::LtEq => 0..behind,
        Operator::Gt => behind..Icount::MAX,
        Operator::GtEq => at..Icount::MAX,
        _ => EVERYTHING,
    }
}

fn clamp(number: i128) -> Icount {
    number.clamp(0, Icount::MAX.into()) as Icount
}

fn intersection(a: &Range<Icount>, b: &Range<Icount>) -> Range<Icount> {
    a.start.max(b.start)..a.end.min(b.end)
}

/// The smallest stretch that holds both.
fn hull(a: Range<Icount>, b: Range<Icount>) -> Range<Icount> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

fn is_icount(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == ICOUNT,
        Expr::Cast(cast) => is_icount(&cast.expr),
        Expr::TryCast(cast) => is_icount(&cast.expr),
        _ => false,
    }
}

fn number(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Literal(value, _) => match value {
            ScalarValue::UInt64(n) => n.map(i128::from),
            ScalarValue::Int64(n) => n.map(i128::from),
            ScalarValue::UInt32(n) => n.map(i128::from),
            ScalarValue::Int32(n) => n.map(i128::from),
            ScalarValue::Decimal128(n, _, 0) => *n,
            _ => None,
        },
        Expr::Cast(cast) => number(&cast.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    #[test]
    fn conditions_on_the_icount_leave_a_stretch() {
        let icount = || col("memory.icount");
        for (condition, left) in [
            (icount().gt_eq(lit(5u64)), 5..Icount::MAX),
            (icount().gt(lit(5i64)), 6..Icount::MAX),
            (lit(5u64).gt(icount()), 0..5),
            (icount().eq(lit(7u64)), 7..8),
            (icount().between(lit(3u64), lit(9u64)), 3..10),
            (icount().gt(lit(-1i64)), 0..Icount::MAX),
            (icount().lt(lit(9u64)).and(icount().gt_eq(lit(2u64))), 2..9),
            (icount().eq(lit(2u64)).or(icount().eq(lit(8u64))), 2..9),
            (icount().eq(lit(2u64)).or(col("rip").eq(lit(8u64))), EVERYTHING),
            (icount().in_list(vec![lit(4u64), lit(1u64)], false), 1..5),
            (icount().in_list(vec![lit(4u64)], true), EVERYTHING),
            (col("rip").eq(lit(8u64)), EVERYTHING),
            ((icount() + lit(1u64)).eq(lit(8u64)), EVERYTHING),
        ] {
            assert_eq!(stretch(std::slice::from_ref(&condition)), left, "{condition}");
        }
        assert!(stretch(&[icount().lt(lit(3u64)), icount().gt(lit(9u64))]).is_empty());
    }
}
