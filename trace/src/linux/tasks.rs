//! Tasks: processes and threads (Linux, include/linux/sched.h).

use super::btf::{Field, Types};
use super::kernel::{LinuxError, View, field};
use super::space::Space;
use dejavm_core::types::VcpuId;
use std::collections::BTreeSet;

/// `TASK_COMM_LEN`.
const COMM_BYTES: usize = 16;
/// `PF_KTHREAD`.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// No structure of a task is larger.
const MOST_TASK_BYTES: u64 = 1 << 16;
/// No command line that is shown is longer.
const MOST_COMMAND_BYTES: u64 = 4096;

/// Where a `task_struct` and what hangs on it have what.
#[derive(Debug)]
pub(super) struct TaskLayout {
    size: usize,
    tasks: Field,
    thread_head: Field,
    thread_node: Field,
    signal: Field,
    pid: Field,
    tgid: Field,
    comm: Field,
    state: Field,
    exit_state: Field,
    flags: Field,
    mm: Field,
    real_parent: Field,
    cred: Field,
    uid: Field,
    euid: Field,
    pgd: Field,
    arguments: Option<(Field, Field)>,
    cpu: Option<Field>,
    pub sp: Field,
}

impl TaskLayout {
    pub fn new(types: &Types) -> Result<Self, LinuxError> {
        let task = |path: &str| field(types, "task_struct", path);
        let size = types.size("task_struct").filter(|size| *size <= MOST_TASK_BYTES);
        let arguments = types.field("mm_struct", "arg_start").zip(types.field("mm_struct", "arg_end"));
        let cpu = ["thread_info.cpu", "cpu"].into_iter().find_map(|path| types.field("task_struct", path));
        Ok(Self {
            size: size.ok_or_else(|| LinuxError::NoField("task_struct".into()))? as usize,
            tasks: task("tasks")?,
            thread_node: task("thread_node")?,
            thread_head: field(types, "signal_struct", "thread_head")?,
            signal: task("signal")?,
            pid: task("pid")?,
            tgid: task("tgid")?,
            comm: task("comm")?,
            state: task("__state").or_else(|_| task("state"))?,
            exit_state: task("exit_state")?,
            flags: task("flags")?,
            mm: task("mm")?,
            real_parent: task("real_parent")?,
            cred: task("real_cred")?,
            uid: field(types, "cred", "uid.val")?,
            euid: field(types, "cred", "euid.val")?,
            pgd: field(types, "mm_struct", "pgd")?,
            arguments,
            cpu,
            sp: task("thread.sp")?,
        })
    }
}

/// What a task is doing, as `ps` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It runs, or waits for a CPU.
    Running,
    /// It sleeps, and a signal wakes it.
    Sleeping,
    /// It waits for a device, and no signal wakes it.
    DiskSleep,
    /// A signal has stopped it.
    Stopped,
    /// A debugger has stopped it.
    Traced,
    /// It is over, and nobody may see it any more.
    Dead,
    /// It is over, and its parent has not asked for its status yet.
    Zombie,
    /// A thread of the kernel that is parked.
    Parked,
    /// A thread of the kernel that waits for work.
    Idle,
}

impl TaskState {
    /// `state` and `exit_state` of a task.
    fn new(state: u32, exit_state: u32) -> Self {
        const IDLE: u32 = 0x402;
        if state & IDLE == IDLE {
            return Self::Idle;
        }
        match (state | exit_state) & 0x7F {
            0 => Self::Running,
            bits if bits & 0x40 != 0 => Self::Parked,
            bits if bits & 0x20 != 0 => Self::Zombie,
            bits if bits & 0x10 != 0 => Self::Dead,
            bits if bits & 8 != 0 => Self::Traced,
            bits if bits & 4 != 0 => Self::Stopped,
            bits if bits & 2 != 0 => Self::DiskSleep,
            _ => Self::Sleeping,
        }
    }

    /// The letter that `ps` has for it.
    pub fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::DiskSleep => 'D',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Dead => 'X',
            Self::Zombie => 'Z',
            Self::Parked => 'P',
            Self::Idle => 'I',
        }
    }
}

/// A task at a place: a process (its first thread), a further thread, or a thread of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The address of its `task_struct`.
    pub address: u64,
    /// Its own number, which users know as the thread id.
    pub pid: i32,
    /// The number of its process, which users know as the pid.
    pub tgid: i32,
    /// The number of its parent process.
    pub ppid: i32,
    /// Its name, of at most 15 bytes.
    pub comm: String,
    /// What it is doing.
    pub state: TaskState,
    /// Whose it is.
    pub uid: u32,
    /// As whom it acts.
    pub euid: u32,
    /// It is of the kernel.
    pub kernel_thread: bool,
    /// The address of its `mm_struct`; 0: it has no memory of its own.
    pub mm: u64,
    /// The physical address of its page table, as CR3 has it, if it has memory of its own.
    pub page_table: Option<u64>,
    /// The CPU on which it runs or ran last, as Linux counts them.
    pub cpu: Option<u32>,
    /// The vCPU on which it is the current task.
    pub vcpu: Option<VcpuId>,
}

impl Task {
    /// Whether it is a process, not a further thread of one.
    pub fn is_leader(&self) -> bool {
        self.pid == self.tgid
    }
}

impl<'a> View<'a> {
    /// All processes, with the kernel's threads, by pid; without the idle tasks, whose pid is 0.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub fn processes(&self) -> Result<Vec<Task>, LinuxError> {
        let layout = &self.kernel.tasks;
        let head = self.kernel.address("init_task")?.wrapping_add(layout.tasks.offset);
        let current = self.current_addresses();
        let mut tasks = Vec::new();
        let mut complete = true;
        for node in self.list(head, layout.size as u64, &mut complete) {
            let task = self.task_among(node.wrapping_sub(layout.tasks.offset), &current);
            tasks.push(task.ok_or(LinuxError::Unsound("task"))?);
        }
        if !complete || tasks.is_empty() {
            return Err(LinuxError::Unsound("list of tasks"));
        }
        tasks.sort_by_key(|task| task.pid);
        Ok(tasks)
    }

    /// All tasks: the threads of each process, the process itself first.
    ///
    /// # Errors
    /// If the lists cannot be read.
    pub fn tasks(&self) -> Result<Vec<Task>, LinuxError> {
        let current = self.current_addresses();
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        for process in self.processes()? {
            let others = self.threads_of(&process, &current);
            let tasks = std::iter::once(process).chain(others);
            all.extend(tasks.filter(|task| seen.insert(task.address)));
        }
        Ok(all)
    }

    fn threads_of(&self, process: &Task, current: &[(VcpuId, u64)]) -> Vec<Task> {
        let layout = &self.kernel.tasks;
        let signal = self.space.u64(process.address.wrapping_add(layout.signal.offset));
        let Some(signal) = signal.filter(|signal| *signal != 0) else { return Vec::new() };
        let nodes = self.list(signal.wrapping_add(layout.thread_head.offset), layout.size as u64, &mut true);
        let tasks = nodes.into_iter().map(|node| node.wrapping_sub(layout.thread_node.offset));
        tasks
            .filter_map(|task| self.task_among(task, current))
            .filter(|task| task.tgid == process.tgid)
            .collect()
    }

    /// The task that runs on a vCPU.
    ///
    /// # Errors
    /// If there is none yet.
    pub fn current(&self, vcpu: VcpuId) -> Result<Task, LinuxError> {
        let unsound = LinuxError::Unsound("current task");
        let address = self.current_address(vcpu)?;
        self.task_among(address, &[(vcpu, address)]).ok_or(unsound)
    }

    /// The task with a number of its own.
    ///
    /// # Errors
    /// If there is none, or the lists cannot be read.
    pub fn task(&self, pid: i32) -> Result<Task, LinuxError> {
        self.tasks()?.into_iter().find(|task| task.pid == pid).ok_or(LinuxError::NoTask(pid))
    }

    /// The address of the `task_struct` of what runs on a vCPU: cheaper than [`Self::current`].
    ///
    /// # Errors
    /// If there is none yet.
    pub fn current_address(&self, vcpu: VcpuId) -> Result<u64, LinuxError> {
        let symbols = self.kernel.symbols();
        let variable = match symbols.address("current_task") {
            Some(variable) => variable,
            // 6.2 to 6.14: the first word of `pcpu_hot`.
            None => {
                let hot = symbols.address("pcpu_hot").ok_or(LinuxError::NoSymbol("current_task"))?;
                hot + self.kernel.types().field("pcpu_hot", "current_task").map_or(0, |field| field.offset)
            }
        };
        let place = self.per_cpu(variable, self.linux_cpu(vcpu)?);
        let address = place.and_then(|place| self.space.u64(place));
        address.filter(|address| *address != 0).ok_or(LinuxError::Unsound("current task"))
    }

    /// The number of the task whose `task_struct` is at an address.
    pub(super) fn pid_at(&self, address: u64) -> Option<i32> {
        self.space.i32(address.wrapping_add(self.kernel.tasks.pid.offset))
    }

    fn current_addresses(&self) -> Vec<(VcpuId, u64)> {
        let current = |vcpu| Some((vcpu, self.current_address(vcpu).ok()?));
        (0..self.guest().vcpus()).filter_map(current).collect()
    }

    fn task_among(&self, address: u64, current: &[(VcpuId, u64)]) -> Option<Task> {
        let layout = &self.kernel.tasks;
        let bytes = self.space.bytes(address, layout.size)?;
        let number = |field: &Field| field.value(&bytes);
        let comm = bytes.get(layout.comm.offset as usize..)?;
        let comm = &comm[..comm.len().min(COMM_BYTES)];
        let comm = &comm[..comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len())];
        let flags = number(&layout.flags)? as u32;
        let cred = number(&layout.cred)?;
        let mm = number(&layout.mm)?;
        let of_cred = |field: &Field| self.space.u32(cred.wrapping_add(field.offset)).unwrap_or(0);
        let parent = number(&layout.real_parent)?;
        let ppid = self.space.i32(parent.wrapping_add(layout.tgid.offset)).unwrap_or(0);
        Some(Task {
            address,
            pid: number(&layout.pid)? as i32,
            tgid: number(&layout.tgid)? as i32,
            ppid,
            comm: String::from_utf8_lossy(comm).into_owned(),
            state: TaskState::new(number(&layout.state)? as u32, number(&layout.exit_state)? as u32),
            uid: of_cred(&layout.uid),
            euid: of_cred(&layout.euid),
            kernel_thread: flags & KERNEL_THREAD != 0,
            mm,
            page_table: self.page_table(mm),
            cpu: layout.cpu.and_then(|field| number(&field)).map(|cpu| cpu as u32),
            vcpu: current.iter().find(|(_, at)| *at == address).map(|(vcpu, _)| *vcpu),
        })
    }

    /// The physical address of the page table of an `mm_struct`.
    fn page_table(&self, mm: u64) -> Option<u64> {
        if mm == 0 {
            return None;
        }
        let table = self.space.u64(mm.wrapping_add(self.kernel.tasks.pgd.offset))?;
        self.space.translate(table)
    }

    /// The memory of a task's own, if it has any.
    pub fn space_of(&self, task: &Task) -> Option<Space<'a>> {
        task.page_table.map(|table| Space::new(self.guest(), table))
    }

    /// The command line of a process, one string for each argument; None if it has no memory, or
    /// that part of it is not there.
    pub fn command_line(&self, task: &Task) -> Option<Vec<String>> {
        let (start, end) = self.kernel.tasks.arguments.as_ref()?;
        let space = self.space_of(task)?;
        let number = |field: &Field| self.space.u64(task.mm.wrapping_add(field.offset));
        let (start, end) = (number(start)?, number(end)?);
        let length = end.checked_sub(start)?.min(MOST_COMMAND_BYTES) as usize;
        let bytes = space.bytes(start, length).filter(|bytes| !bytes.is_empty())?;
        let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        Some(text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    }

    /// The nodes of a list (Linux, include/linux/list.h) without its head, which are in structures
    /// of so many bytes; `complete` becomes false if it does not lead back to the head.
    pub(super) fn list(&self, head: u64, node_bytes: u64, complete: &mut bool) -> Vec<u64> {
        let most = self.guest().ram_bytes() / node_bytes.max(64);
        let mut seen = BTreeSet::new();
        let mut nodes = Vec::new();
        let mut at = head;
        loop {
            match self.space.u64(at) {
                Some(next) if next == head => return nodes,
                Some(next) if (nodes.len() as u64) < most && seen.insert(next) => {
                    nodes.push(next);
                    at = next;
                }
                _ => {
                    *complete = false;
                    return nodes;
                }
            }
        }
    }
}
