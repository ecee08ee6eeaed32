//! Who called whom, and how many instructions were executed there: a tree of calls, as flame graphs
//! show it.
//!
//! A call and a return tell where the stack pointer is, and that tells which frames are gone and which
//! stack it is: so the stacks of threads, tasks and interrupts are told apart without knowing the
//! system. A kernel's stack continues the user's whose system call or interrupt led to it.

use super::AddressMap;
use dejavm_core::boundary::{ProbeEvent, ProbeKind, ProbeRecord, ProbeSettings};
use std::collections::BTreeMap;

/// Kernel stacks of Linux are aligned to their size; no two of them share such a stretch.
const KERNEL_STACK_SHIFT: u32 = 14;
/// Stacks of programs are told apart by stretches of this size; one that reaches into the next stretch
/// is the same.
const USER_STACK_SHIFT: u32 = 20;

/// A stack: its address space (0: of all), and where it is.
type StackKey = (u64, u64);

/// What a node of the tree stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// A function, by the address that was called.
    Function(u64),
    /// An exception or interrupt with this vector.
    Vector(u8),
    /// A system call.
    Syscall,
    /// The root of a program, by its CR3.
    Program(u64),
    /// The root of what no program led to.
    Kernel,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: usize,
    label: Label,
    own: u64,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    node: usize,
    /// Where its return address lies; None: an interrupt or system call, which ends by its return.
    rsp: Option<u64>,
}

#[derive(Clone, Debug)]
struct Stack {
    frames: Vec<Frame>,
    base: usize,
    entered_from: Option<StackKey>,
}

impl Stack {
    fn top(&self) -> usize {
        self.frames.last().map_or(self.base, |frame| frame.node)
    }

    /// Frames whose return address lies at `rsp` or below it are gone.
    fn unwind(&mut self, rsp: u64) {
        while let Some(real) = self.frames.iter().rposition(|frame| frame.rsp.is_some()) {
            if self.frames[real].rsp.is_some_and(|at| at > rsp) {
                return;
            }
            self.frames.truncate(real);
        }
    }
}

/// The tree, and the stacks as they stand.
pub struct CallGraph {
    nodes: Vec<Node>,
    children: BTreeMap<(usize, Label), usize>,
    stacks: AddressMap<StackKey, Stack>,
    /// Of each vCPU.
    current: BTreeMap<u8, StackKey>,
    since: u64,
}

/// The events that it wants.
pub fn probes() -> ProbeSettings {
    ProbeSettings::of([
        ProbeKind::Call,
        ProbeKind::Return,
        ProbeKind::Exception,
        ProbeKind::Interrupt,
        ProbeKind::Nmi,
        ProbeKind::InterruptReturn,
        ProbeKind::Syscall,
        ProbeKind::SyscallReturn,
    ])
}

/// Node 0 is above the roots.
const ABOVE: usize = 0;

impl CallGraph {
    /// Of a run from `icount` on.
    pub fn new(icount: u64) -> Self {
        let nodes = vec![Node { parent: ABOVE, label: Label::Kernel, own: 0 }];
        let (children, stacks, current) = (BTreeMap::new(), AddressMap::default(), BTreeMap::new());
        Self { nodes, children, stacks, current, since: icount }
    }

    /// Takes the next records, in the order of the run.
    pub fn add(&mut self, records: &[ProbeRecord]) {
        for record in records {
            let Some(vcpu) = record.vcpu else { continue };
            // IRET is the last instruction of its handler; no instruction began it.
            let iret = u64::from(matches!(record.event, ProbeEvent::InterruptReturn { .. }));
            self.charge(vcpu, record.position.icount + iret);
            match record.event {
                ProbeEvent::Call { target, rsp, .. } => self.call(vcpu, record, target, rsp),
                ProbeEvent::Return { rsp, .. } => {
                    let key = self.switch(vcpu, record, rsp, false);
                    if let Some(stack) = self.stacks.get_mut(&key) {
                        stack.unwind(rsp);
                    }
                }
                ProbeEvent::Exception { vector, .. } | ProbeEvent::Interrupt { vector, .. } => {
                    self.enter(vcpu, record, Label::Vector(vector));
                }
                ProbeEvent::Nmi { .. } => self.enter(vcpu, record, Label::Vector(2)),
                ProbeEvent::Syscall { .. } => self.enter(vcpu, record, Label::Syscall),
                ProbeEvent::InterruptReturn { cpl, .. } => self.leave(vcpu, cpl == 3),
                ProbeEvent::SyscallReturn { .. } => self.leave(vcpu, true),
                _ => {}
            }
        }
    }

    /// The run ends at `icount`.
    pub fn finish(&mut self, icount: u64) {
        if let Some(&vcpu) = self.current.keys().next() {
            self.charge(vcpu, icount);
        }
    }

    /// Instructions are of the vCPU whose event ends the stretch.
    fn charge(&mut self, vcpu: u8, icount: u64) {
        let instructions = icount.saturating_sub(self.since);
        self.since = self.since.max(icount);
        let stack = self.current.get(&vcpu).and_then(|key| self.stacks.get(key));
        let node = match stack {
            Some(stack) => stack.top(),
            None => self.child(ABOVE, Label::Kernel),
        };
        self.nodes[node].own += instructions;
    }

    fn child(&mut self, parent: usize, label: Label) -> usize {
        if let Some(&child) = self.children.get(&(parent, label)) {
            return child;
        }
        self.nodes.push(Node { parent, label, own: 0 });
        self.children.insert((parent, label), self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn root(&mut self, record: &ProbeRecord) -> usize {
        let label = if record.cpl == 3 { Label::Program(record.cr3) } else { Label::Kernel };
        self.child(ABOVE, label)
    }

    /// The stack that `rsp` is of becomes that of the vCPU. An empty one that a call leads to
    /// continues the one before.
    fn switch(&mut self, vcpu: u8, record: &ProbeRecord, rsp: u64, by_call: bool) -> StackKey {
        let key = self.key_near(stack_key(record.cr3, rsp), rsp);
        let before = self.current.insert(vcpu, key);
        if before == Some(key) {
            return key;
        }
        if self.stacks.get(&key).is_none_or(|stack| stack.frames.is_empty()) {
            let below = before.filter(|_| by_call && record.cpl != 3);
            let top = below.and_then(|key| self.stacks.get(&key)).map(Stack::top);
            let base = top.unwrap_or_else(|| self.root(record));
            let entered_from = below.filter(|below| self.is_entered(below));
            self.stacks.insert(key, Stack { frames: Vec::new(), base, entered_from });
        }
        key
    }

    /// The stack of a program that is in use around there, if there is one.
    fn key_near(&self, key: StackKey, rsp: u64) -> StackKey {
        if rsp >> 63 == 1 {
            return key;
        }
        let (cr3, stretch) = key;
        let near = [key, (cr3, stretch + 1), (cr3, stretch.wrapping_sub(1))];
        let in_use = |key: &StackKey| self.stacks.get(key).is_some_and(|stack| !stack.frames.is_empty());
        near.into_iter().find(in_use).unwrap_or(key)
    }

    fn is_entered(&self, key: &StackKey) -> bool {
        self.stacks.get(key).and_then(|stack| stack.frames.last()).is_some_and(|frame| frame.rsp.is_none())
    }

    fn call(&mut self, vcpu: u8, record: &ProbeRecord, target: u64, rsp: u64) {
        let key = self.switch(vcpu, record, rsp, true);
        let Some(stack) = self.stacks.get_mut(&key) else { return };
        stack.unwind(rsp);
        let top = stack.top();
        let node = self.child(top, Label::Function(target));
        if let Some(stack) = self.stacks.get_mut(&key) {
            stack.frames.push(Frame { node, rsp: Some(rsp) });
        }
    }

    fn enter(&mut self, vcpu: u8, record: &ProbeRecord, label: Label) {
        // Before any call, nobody knows where the stack is.
        let key = *self.current.entry(vcpu).or_insert((record.cr3, u64::MAX));
        let root = self.root(record);
        let base = Stack { frames: Vec::new(), base: root, entered_from: None };
        let top = self.stacks.entry(key).or_insert(base).top();
        let node = self.child(top, label);
        if let Some(stack) = self.stacks.get_mut(&key) {
            stack.frames.push(Frame { node, rsp: None });
        }
    }

    fn leave(&mut self, vcpu: u8, to_user: bool) {
        let Some(&key) = self.current.get(&vcpu) else { return };
        let Some(stack) = self.stacks.get_mut(&key) else { return };
        if !to_user || stack.frames.iter().any(|frame| frame.rsp.is_none()) {
            pop_entry(stack);
            return;
        }
        let back = stack.entered_from.take();
        stack.frames.clear();
        match back {
            Some(back) => {
                self.stacks.get_mut(&back).map(pop_entry);
                self.current.insert(vcpu, back);
            }
            None => {
                self.current.remove(&vcpu);
            }
        }
    }

    /// The stacks that were seen, with the instructions that were executed on top of each, by what
    /// `name` calls their parts: lines of `root;function;function count`, sorted.
    pub fn folded(&self, name: &dyn Fn(Label) -> String) -> Vec<String> {
        let mut lines: BTreeMap<String, u64> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.own != 0) {
            *lines.entry(self.path(index, name)).or_default() += node.own;
        }
        lines.into_iter().map(|(path, count)| format!("{path} {count}")).collect()
    }

    fn path(&self, mut index: usize, name: &dyn Fn(Label) -> String) -> String {
        let mut parts = Vec::new();
        while index != ABOVE {
            parts.push(name(self.nodes[index].label));
            index = self.nodes[index].parent;
        }
        parts.reverse();
        parts.join(";")
    }
}

fn pop_entry(stack: &mut Stack) {
    if let Some(entry) = stack.frames.iter().rposition(|frame| frame.rsp.is_none()) {
        stack.frames.truncate(entry);
    }
}

fn stack_key(cr3: u64, rsp: u64) -> StackKey {
    if rsp >> 63 == 1 { (0, rsp >> KERNEL_STACK_SHIFT) } else { (cr3, rsp >> USER_STACK_SHIFT) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_core::boundary::Position;

    const USER: u64 = 0x7000_0000;
    const KERNEL: u64 = 0xFFFF_C900_0000_7F00;

    fn record(icount: u64, cpl: u8, event: ProbeEvent) -> ProbeRecord {
        ProbeRecord { position: Position { icount, now_ns: icount }, vcpu: Some(0), cpl, cr3: 0x1000, event }
    }

    fn call(icount: u64, cpl: u8, target: u64, rsp: u64) -> ProbeRecord {
        record(icount, cpl, ProbeEvent::Call { target, back: 0, rsp })
    }

    fn back(icount: u64, cpl: u8, rsp: u64) -> ProbeRecord {
        record(icount, cpl, ProbeEvent::Return { target: 0, rsp })
    }

    fn folded(records: &[ProbeRecord], end: u64) -> Vec<String> {
        let mut graph = CallGraph::new(0);
        graph.add(records);
        graph.finish(end);
        graph.folded(&|label| match label {
            Label::Function(address) => format!("f{address}"),
            Label::Vector(vector) => format!("v{vector}"),
            Label::Syscall => "syscall".into(),
            Label::Program(_) => "program".into(),
            Label::Kernel => "kernel".into(),
        })
    }

    #[test]
    fn instructions_are_counted_where_they_are_executed() {
        let records = [
            call(10, 3, 1, USER),
            call(15, 3, 2, USER - 16),
            back(18, 3, USER - 16),
            call(20, 3, 3, USER - 16),
            // 3 never returns by itself: longjmp to below 1.
            call(30, 3, 4, USER),
        ];
        let expected = ["kernel 10", "program;f1 7", "program;f1;f2 3", "program;f1;f3 10", "program;f4 5"];
        assert_eq!(folded(&records, 35), expected);
    }

    #[test]
    fn a_system_call_continues_the_program_and_comes_back_to_it() {
        let syscall = ProbeEvent::Syscall { rip: 0, number: 1, arguments: Box::new([0; 6]) };
        let records = [
            call(0, 3, 1, USER),
            record(10, 3, syscall),
            call(12, 0, 7, KERNEL),
            // An interrupt within, which calls on the same stack.
            record(20, 0, ProbeEvent::Interrupt { vector: 32, rip: 0 }),
            call(21, 0, 8, KERNEL - 64),
            back(25, 0, KERNEL - 64),
            record(26, 0, ProbeEvent::InterruptReturn { rip: 0, cpl: 0 }),
            back(30, 0, KERNEL),
            record(31, 0, ProbeEvent::SyscallReturn { rip: 0, result: 0 }),
            call(40, 3, 2, USER - 16),
        ];
        let expected = [
            "program;f1 19",
            "program;f1;f2 2",
            "program;f1;syscall 3",
            "program;f1;syscall;f7 11",
            "program;f1;syscall;f7;v32 3",
            "program;f1;syscall;f7;v32;f8 4",
        ];
        assert_eq!(folded(&records, 42), expected);
    }
}
