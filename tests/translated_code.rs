//! Code that changes under the translator, in every way in which code can change, and what stops a
//! run in the middle of translated code: guests written for it, on both engines, all state
//! compared at many places.

use dejavm_core::boundary::{
    Images, MachineConfig, OnHit, ProbeEvent, ProbeKind, ProbeSettings, Space, StopCondition, StopPoint,
    StopPoints, Watch, WatchKind,
};
use dejavm_core::machine::{Accel, Machine, RunLimit, StopReason};
use dejavm_core::types::Gpa;
use dejavm_tests::accel::on;
use dejavm_tests::fuzz::guest::{kernel, layout};
use dejavm_tests::lockstep::compare;
use iced_x86::IcedError;
use iced_x86::code_asm::*;

/// Where code is put at run time: in the middle of a page, and across the end of one.
const INSIDE: u64 = 0x5_0100;
const ACROSS: u64 = 0x5_1FFC;
const STACK: u64 = layout::STACK_END;
const END: u64 = 30_000;

/// A guest from its assembly.
fn assembled(build: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u8> {
    let mut a = CodeAssembler::new(64).expect("64 bits");
    a.mov(esp, STACK as u32).expect("an instruction");
    build(&mut a).expect("instructions");
    a.assemble(layout::KERNEL).expect("code")
}

fn machine(accel: Accel, code: &[u8], vcpus: u32) -> Machine {
    let config = MachineConfig { vcpus, ram_bytes: 2 << 20, quantum_icount: 700, ..MachineConfig::default() };
    let images = Images { kernel: kernel(code), initrd: None };
    eager(accel, Machine::new(&config, images).expect("a good image"))
}

/// On an engine; what is to be translated is so when it runs first.
fn eager(accel: Accel, machine: Machine) -> Machine {
    let mut machine = on(accel, machine);
    machine.translate_after(1);
    machine
}

fn no_translator() -> bool {
    Accel::Jit.available().inspect_err(|e| eprintln!("skipped: {e}")).is_err()
}

/// Runs a guest on both engines in uneven steps, with the engine of the second switched off and on
/// on the way; gives the second.
fn the_same(code: &[u8], vcpus: u32) -> Machine {
    let [mut a, mut b] = [Accel::Interp, Accel::Jit].map(|accel| machine(accel, code, vcpus));
    let mut step = 0;
    while a.position().icount < END {
        step = (step * 5 + 37) % 1013;
        let limit = RunLimit::to_icount(a.position().icount + 1 + step);
        assert_eq!(a.run(&limit), b.run(&limit));
        if let Some(difference) = compare(&mut a, &mut b) {
            panic!("{difference}");
        }
        if step % 64 == 3 {
            b.set_accel(Accel::Interp).expect("an engine");
        } else if b.accel() == Accel::Interp {
            b = eager(Accel::Jit, b);
        }
    }
    b
}

/// How often code was dropped, in a whole run on the translator.
fn dropped(code: &[u8]) -> u64 {
    let mut machine = machine(Accel::Jit, code, 1);
    machine.run(&RunLimit::to_icount(END));
    machine.jit_stats().expect("a translator").dropped
}

#[test]
fn an_instruction_changes_the_next_one_of_its_own_block() {
    if no_translator() {
        return;
    }
    let code = assembled(|a| {
        let (mut again, mut patched) = (a.create_label(), a.create_label());
        a.lea(rdi, ptr(patched))?;
        a.set_label(&mut again)?;
        a.inc(ecx)?;
        a.mov(byte_ptr(rdi + 1), cl)?;
        a.set_label(&mut patched)?;
        a.mov(al, 0)?;
        a.add(rbx, rax)?;
        a.jmp(again)
    });
    the_same(&code, 1);
    assert!(dropped(&code) > 1000, "a block is dropped each time");
}

/// A loop that writes `ADD EBX, imm32; RET` to a place, with another immediate each time, by REP MOVSB and in
/// pieces, and calls it.
fn writing_over(place: u64) -> Vec<u8> {
    assembled(|a| {
        let (mut again, mut text) = (a.create_label(), a.create_label());
        a.set_label(&mut again)?;
        a.inc(edx)?;
        a.lea(rsi, ptr(text))?;
        a.mov(edi, place as u32)?;
        a.mov(ecx, 7)?;
        a.cld()?;
        a.rep().movsb()?;
        a.mov(edi, place as u32)?;
        a.mov(dword_ptr(rdi + 2), edx)?;
        for _ in 0..3 {
            a.call(rdi)?;
        }
        a.jmp(again)?;
        a.set_label(&mut text)?;
        a.db(&[0x81, 0xC3, 0, 0, 0, 0, 0xC3])
    })
}

#[test]
fn code_is_written_called_and_written_over() {
    if no_translator() {
        return;
    }
    for place in [INSIDE, ACROSS] {
        the_same(&writing_over(place), 1);
    }
}

#[test]
fn all_that_the_translator_does_is_told() {
    if no_translator() {
        return;
    }
    let mut machine = machine(Accel::Jit, &writing_over(INSIDE), 1);
    machine.set_probes(&ProbeSettings::of(ProbeKind::OF_THE_ENGINE));
    machine.run(&RunLimit::to_icount(END));
    let stats = machine.jit_stats().expect("a translator");
    let (mut translated, mut linked, mut dropped) = (0, 0, 0);
    for record in machine.take_probe_records() {
        match record.event {
            ProbeEvent::Translate { .. } => translated += 1,
            ProbeEvent::Link { .. } => linked += 1,
            ProbeEvent::Flush { blocks } => dropped += blocks,
            _ => {}
        }
    }
    assert_eq!((translated, linked, dropped), (stats.blocks, stats.links, stats.dropped));
    assert!(linked > 1 && dropped > 100, "{linked} links, {dropped} dropped");
}

#[test]
fn one_processor_changes_what_another_runs() {
    if no_translator() {
        return;
    }
    // In real mode at 8000h: again: add ax, 1234h; inc word [4000h]; jmp again.
    const OTHER: [u8; 9] = [0x05, 0x34, 0x12, 0xFF, 0x06, 0x00, 0x40, 0xEB, 0xF7];
    let code = assembled(|a| {
        let (mut again, mut shared, mut done) = (a.create_label(), a.create_label(), a.create_label());
        a.mov(edi, 0x8000)?;
        for (at, byte) in (0..).zip(OTHER) {
            a.mov(byte_ptr(rdi + at), i32::from(byte))?;
        }
        a.mov(rbx, 0xFEE0_0000u64)?;
        for (register, value) in [(0xF0, 0x1FF), (0x300, 0xC_4500), (0x300, 0xC_4608)] {
            a.mov(dword_ptr(rbx + register), value)?;
        }
        a.lea(rsi, ptr(shared))?;
        a.set_label(&mut again)?;
        a.inc(ecx)?;
        a.test(cl, 63)?;
        a.jnz(shared)?;
        // Its code, and our own in the same way.
        a.mov(word_ptr(rdi + 1), cx)?;
        a.lock().add(dword_ptr(rsi + 1), 3)?;
        a.set_label(&mut shared)?;
        a.add(eax, 0x1111_1111)?;
        a.cmp(ecx, 0)?;
        a.jz(done)?;
        a.jmp(again)?;
        a.set_label(&mut done)?;
        a.hlt()
    });
    the_same(&code, 2);
}

#[test]
fn a_device_writes_over_code_by_dma() {
    if no_translator() {
        return;
    }
    const COMMAND: u64 = 0x4_0000;
    // At INSIDE: four times NOP; JMP R12. The signature of the device, item 0, is code as well:
    // PUSH RCX; PUSH R13 with prefixes.
    let code = assembled(|a| {
        let (mut again, mut back, mut plain) = (a.create_label(), a.create_label(), a.create_label());
        a.lea(r12, ptr(back))?;
        a.mov(edi, INSIDE as u32)?;
        a.mov(esi, COMMAND as u32)?;
        a.set_label(&mut again)?;
        a.mov(esp, STACK as u32)?;
        a.inc(ebp)?;
        a.test(ebp, 7)?;
        a.jnz(plain)?;
        // Select item 0 and read 4 bytes to INSIDE.
        a.mov(eax, (2u32 | 8).swap_bytes())?;
        a.mov(dword_ptr(rsi), eax)?;
        a.mov(dword_ptr(rsi + 4), 4u32.swap_bytes() as i32)?;
        a.mov(dword_ptr(rsi + 8), 0)?;
        a.mov(dword_ptr(rsi + 12), (INSIDE as u32).swap_bytes() as i32)?;
        a.mov(edx, 0x514)?;
        a.xor(eax, eax)?;
        a.out(dx, eax)?;
        a.mov(edx, 0x518)?;
        a.mov(eax, (COMMAND as u32).swap_bytes())?;
        a.out(dx, eax)?;
        a.jmp(rdi)?;
        a.set_label(&mut plain)?;
        a.mov(dword_ptr(rdi), 0x9090_9090u32 as i32)?;
        a.mov(dword_ptr(rdi + 4), 0x00E4_FF41)?;
        a.jmp(rdi)?;
        a.set_label(&mut back)?;
        a.add(rbx, rsp)?;
        a.jmp(again)
    });
    the_same(&code, 1);
    // It was run, and pushed something.
    let mut machine = machine(Accel::Jit, &code, 1);
    machine.run(&RunLimit::to_icount(END));
    let mut bytes = [0; 4];
    bytes.copy_from_slice(machine.memory().ram.slice(INSIDE as usize, 4));
    let seen = (0..400).any(|n| {
        machine.run(&RunLimit::to_icount(END + n));
        machine.memory().ram.slice(INSIDE as usize, 4) == b"QEMU"
    });
    assert!(seen, "the device writes {bytes:x?}");
}

/// A loop that stores to a counter, reads it back, and each time that its bits in `mask` are 0 calls what
/// stores `gap` bytes behind it.
fn calling(mask: u32, gap: usize) -> Vec<u8> {
    assembled(|a| {
        let (mut again, mut called) = (a.create_label(), a.create_label());
        a.mov(edi, layout::DATA as u32)?;
        a.set_label(&mut again)?;
        a.inc(dword_ptr(rdi))?;
        a.mov(eax, dword_ptr(rdi))?;
        a.test(eax, mask)?;
        a.jnz(again)?;
        a.call(called)?;
        a.jmp(again)?;
        if gap > 0 {
            a.db(&vec![0xCC; gap])?;
        }
        a.set_label(&mut called)?;
        a.add(ebx, eax)?;
        a.mov(dword_ptr(rdi + 8), ebx)?;
        a.ret()
    })
}

#[test]
fn stop_points_stop_translated_code_where_they_stop_the_interpreter() {
    if no_translator() {
        return;
    }
    let code = calling(0x3F, 0);
    let watch = |start, kind| StopCondition::Watch(Watch { space: Space::Linear, start, len: 4, kind });
    let conditions = [
        StopCondition::Breakpoint { address: layout::KERNEL + 5 + 5 + 2 },
        watch(layout::DATA + 8, WatchKind::Write),
        watch(layout::DATA, WatchKind::Read),
    ];
    for condition in conditions {
        let [mut a, mut b] = [Accel::Interp, Accel::Jit].map(|accel| machine(accel, &code, 1));
        // Translated before anybody asks.
        for machine in [&mut a, &mut b] {
            machine.run(&RunLimit::to_icount(5000));
        }
        let mut stops = 0;
        for n in 0..50 {
            let from = a.position().icount + n % 3 * 100;
            let points = vec![StopPoint { id: 1, vcpu: None, condition }];
            for machine in [&mut a, &mut b] {
                machine.set_stop_points(&StopPoints { points: points.clone(), from, on_hit: OnHit::Stop });
            }
            let limit = RunLimit::to_icount(a.position().icount + 3000);
            let (ra, rb) = (a.run(&limit), b.run(&limit));
            assert_eq!((ra, a.take_stop_hits()), (rb, b.take_stop_hits()), "{condition:?}");
            stops += u32::from(ra == StopReason::StopPoint);
            if let Some(difference) = compare(&mut a, &mut b) {
                panic!("{condition:?}: {difference}");
            }
            // And on without, at full speed.
            for machine in [&mut a, &mut b] {
                machine.set_stop_points(&StopPoints::default());
                machine.run(&RunLimit::to_icount(machine.position().icount + 777));
            }
        }
        assert!(stops > 10, "{condition:?} stopped {stops} times");
    }
}

#[test]
fn translated_code_keeps_off_the_pages_of_breakpoints_and_off_no_other() {
    if no_translator() {
        return;
    }
    // What is called is in another page.
    let code = calling(0x1F, 0x1000);
    let page = (layout::KERNEL >> 12) + 1;
    // The store of the function behind the page of the loop.
    let address = layout::KERNEL + code.len() as u64 - 4;
    let points = vec![StopPoint { id: 1, vcpu: None, condition: StopCondition::Breakpoint { address } }];
    let in_page = |machine: &Machine| {
        let blocks = machine.translated_blocks();
        let there = blocks.iter().filter(|block| block.linear >> 12 == page).count();
        (there, blocks.len() - there)
    };
    for on_hit in [OnHit::Stop, OnHit::Scan { keep: usize::MAX }] {
        let [mut a, mut b] = [Accel::Interp, Accel::Jit].map(|accel| machine(accel, &code, 2));
        for machine in [&mut a, &mut b] {
            machine.run(&RunLimit::to_icount(5000));
        }
        assert!(in_page(&b).0 > 0, "translated before anybody asks");
        let entries = |machine: &Machine| machine.jit_stats().expect("a translator").entries;
        let (before, mut hits, mut stopped) = (entries(&b), 0, false);
        for n in 0..40 {
            // Past the one where it stands, to the next.
            let from = a.position().icount + u64::from(stopped);
            for machine in [&mut a, &mut b] {
                machine.set_stop_points(&StopPoints { points: points.clone(), from, on_hit });
            }
            let limit = RunLimit::to_icount(from + 400 + n * 7 % 97);
            let (ra, rb) = (a.run(&limit), b.run(&limit));
            let (ha, hb) = (a.take_stop_hits(), b.take_stop_hits());
            assert_eq!((ra, &ha), (rb, &hb), "{on_hit:?}");
            hits += ha.count;
            if let Some(difference) = compare(&mut a, &mut b) {
                panic!("{on_hit:?}: {difference}");
            }
            let (there, elsewhere) = in_page(&b);
            assert!(there == 0 && elsewhere > 0, "{there} there, {elsewhere} elsewhere");
            stopped = ra == StopReason::StopPoint;
        }
        assert!(hits > 20, "{hits} hits");
        assert!(entries(&b) > before + 20, "the loop runs translated: {before}, {}", entries(&b));
        for machine in [&mut a, &mut b] {
            machine.set_stop_points(&StopPoints::default());
            machine.run(&RunLimit::to_icount(machine.position().icount + 500));
        }
        assert!(in_page(&b).0 > 0, "translated again");
        assert_eq!(compare(&mut a, &mut b).map(|difference| difference.to_string()), None);
    }
}

/// A guest that calls a function in a page of its own at 2 MiB, and now and then takes that page out of its
/// tables first; its handler of #PF puts it back.
fn machine_that_unmaps_code(accel: Accel) -> Machine {
    const TABLES: u64 = 0x6_0000;
    const ENTRY: u64 = TABLES + 0x3000;
    const IDT: u64 = TABLES + 0x4000;
    const IDTR: u64 = TABLES + 0x5000;
    const HANDLER: u64 = 0x5_2000;
    let open = |to: u64| (to | 7).to_le_bytes();
    let code = assembled(|a| {
        let (mut again, mut mapped) = (a.create_label(), a.create_label());
        a.lidt(qword_ptr(IDTR))?;
        a.mov(eax, TABLES as u32)?;
        a.mov(cr3, rax)?;
        a.set_label(&mut again)?;
        a.inc(ebx)?;
        a.test(ebx, 0x1F)?;
        a.jnz(mapped)?;
        a.mov(edi, ENTRY as u32)?;
        a.mov(qword_ptr(rdi), 0)?;
        a.mov(edi, 2 << 20)?;
        a.invlpg(byte_ptr(rdi))?;
        a.set_label(&mut mapped)?;
        a.mov(eax, 2 << 20)?;
        a.call(rax)?;
        a.jmp(again)
    });
    let mut function = CodeAssembler::new(64).expect("64 bits");
    function.inc(r8d).and_then(|()| function.ret()).expect("instructions");
    let mut handler = CodeAssembler::new(64).expect("64 bits");
    let built = handler
        .add(rsp, 8)
        .and_then(|()| handler.inc(r9d))
        .and_then(|()| handler.mov(edi, ENTRY as u32))
        .and_then(|()| handler.mov(dword_ptr(rdi), (INSIDE as i32 & !0xFFF) | 7))
        .and_then(|()| handler.iretq());
    built.expect("instructions");
    let mut machine = machine(accel, &code, 1);
    let gate = HANDLER & 0xFFFF | 0x10 << 16 | 0x8E << 40 | HANDLER >> 16 << 48;
    for (at, bytes) in [
        (TABLES, open(TABLES + 0x1000).to_vec()),
        (TABLES + 0x1000, open(TABLES + 0x2000).to_vec()),
        (TABLES + 0x2000, [open(0x80), open(ENTRY)].concat()),
        (ENTRY, open(INSIDE & !0xFFF).to_vec()),
        (INSIDE & !0xFFF, function.assemble(2 << 20).expect("code")),
        (HANDLER, handler.assemble(HANDLER).expect("code")),
        (IDT + 14 * 16, gate.to_le_bytes().to_vec()),
        (IDTR, [&0xFFFu16.to_le_bytes()[..], &IDT.to_le_bytes()].concat()),
    ] {
        machine.load_memory(Gpa(at), &bytes);
    }
    machine
}

#[test]
fn code_whose_page_is_gone_faults_while_there_are_breakpoints_elsewhere() {
    if no_translator() {
        return;
    }
    let [mut a, mut b] = [Accel::Interp, Accel::Jit].map(machine_that_unmaps_code);
    let elsewhere =
        StopPoint { id: 1, vcpu: None, condition: StopCondition::Breakpoint { address: 0x5_3000 } };
    for until in (0..END).step_by(5000) {
        for machine in [&mut a, &mut b] {
            let points = if until % 10_000 == 0 { vec![] } else { vec![elsewhere] };
            machine.set_stop_points(&StopPoints { points, from: 0, on_hit: OnHit::Stop });
            machine.run(&RunLimit::to_icount(until));
        }
        assert_eq!(compare(&mut a, &mut b).map(|difference| difference.to_string()), None);
    }
    let [called, faults] = [8, 9].map(|register| b.vcpus()[0].state.regs[register]);
    assert!(called > 1000 && faults > 50, "{called} calls, {faults} page faults");
}

#[test]
fn the_guest_steps_through_translated_code() {
    if no_translator() {
        return;
    }
    // TF is set for a while in every round; the handler of #DB counts.
    let code = assembled(|a| {
        let (mut again, mut handler, mut count) = (a.create_label(), a.create_label(), a.create_label());
        a.lea(rax, ptr(handler))?;
        a.mov(edi, (layout::IDT + 16) as u32)?;
        a.mov(word_ptr(rdi), ax)?;
        a.mov(word_ptr(rdi + 2), cs)?;
        a.mov(word_ptr(rdi + 4), 0x8E00u32 as i32)?;
        a.shr(rax, 16)?;
        a.mov(dword_ptr(rdi + 6), eax)?;
        a.mov(dword_ptr(rdi + 10), 0)?;
        a.mov(esi, layout::DATA as u32)?;
        a.mov(word_ptr(rsi), 0xFFF)?;
        a.mov(qword_ptr(rsi + 2), layout::IDT as i32)?;
        a.lidt(ptr(rsi))?;
        a.set_label(&mut again)?;
        a.mov(ecx, 40)?;
        a.set_label(&mut count)?;
        a.add(ebx, ecx)?;
        a.dec(ecx)?;
        a.jnz(count)?;
        a.pushfq()?;
        a.xor(dword_ptr(rsp), 0x100)?;
        a.popfq()?;
        a.jmp(again)?;
        a.set_label(&mut handler)?;
        a.inc(dword_ptr(rsi + 16))?;
        a.iretq()
    });
    let machine = the_same(&code, 1);
    let steps = machine.memory().read_phys::<u32>(Gpa(layout::DATA + 16)).expect("RAM");
    assert!(steps > 1000, "{steps} steps");
}

#[test]
fn a_guest_that_rewrites_its_code_all_day_fills_no_more_than_the_cache() {
    if no_translator() {
        return;
    }
    const CACHE: usize = 1 << 20;
    let code = assembled(|a| {
        let mut again = a.create_label();
        a.mov(edi, INSIDE as u32)?;
        a.set_label(&mut again)?;
        a.inc(ecx)?;
        // MOV EAX, ECX as an immediate; RET
        a.mov(byte_ptr(rdi), 0xB8u32 as i32)?;
        a.mov(dword_ptr(rdi + 1), ecx)?;
        a.mov(byte_ptr(rdi + 5), 0xC3u32 as i32)?;
        a.call(rdi)?;
        a.add(rbx, rax)?;
        a.jmp(again)
    });
    let [mut a, mut b] = [Accel::Interp, Accel::Jit].map(|accel| machine(accel, &code, 1));
    b.limit_code(CACHE);
    let mut last = 0;
    for part in 1..=10 {
        let limit = RunLimit::to_icount(part * 10_000);
        assert_eq!(a.run(&limit), b.run(&limit));
        let stats = b.jit_stats().expect("a translator");
        assert!(stats.cached_bytes <= CACHE as u64, "{stats:?}");
        assert!(stats.blocks > last, "it goes on translating");
        last = stats.blocks;
    }
    assert!(b.jit_stats().expect("a translator").flushes > 0, "the cache was filled");
    if let Some(difference) = compare(&mut a, &mut b) {
        panic!("{difference}");
    }
}

/// A guest that follows a chain through 48 pages, again and again, and changes each place where it was.
fn following_a_chain() -> Vec<u8> {
    const TABLE: u32 = 0x14_0000;
    const PLACES: u32 = 48 * 8;
    const STRIDE: i32 = 512;
    assembled(|a| {
        let (mut fill, mut round, mut chase) = (a.create_label(), a.create_label(), a.create_label());
        // OSFXSR
        a.mov(rax, cr4)?;
        a.or(eax, 1 << 9)?;
        a.mov(cr4, rax)?;
        a.mov(edi, TABLE)?;
        a.xor(ecx, ecx)?;
        a.set_label(&mut fill)?;
        // Place n leads to place (n * 85 + 5) modulo their number, which leads through all of them.
        a.imul_3(eax, ecx, 85)?;
        a.add(eax, 5)?;
        a.xor(edx, edx)?;
        a.mov(ebx, PLACES)?;
        a.div(ebx)?;
        a.imul_3(edx, edx, STRIDE)?;
        a.imul_3(eax, ecx, STRIDE)?;
        a.mov(dword_ptr(rdi + rax), edx)?;
        a.inc(ecx)?;
        a.cmp(ecx, PLACES)?;
        a.jne(fill)?;
        a.set_label(&mut round)?;
        a.mov(esi, 9000)?;
        a.xor(eax, eax)?;
        a.set_label(&mut chase)?;
        a.mov(eax, dword_ptr(rdi + rax))?;
        a.inc(dword_ptr(rdi + rax + 8))?;
        a.movups(xmm1, xmmword_ptr(rdi + rax))?;
        a.paddd(xmm2, xmm1)?;
        a.add(dword_ptr(rdi + rax + 12), esi)?;
        a.dec(esi)?;
        a.jne(chase)?;
        a.add(r8, qword_ptr(rdi + rax + 8))?;
        a.jmp(round)
    })
}

#[test]
fn loops_that_go_to_many_pages_see_what_others_see_there() {
    if no_translator() {
        return;
    }
    let code = following_a_chain();
    let [mut a, mut b] = [Accel::Interp, Accel::Jit].map(|accel| machine(accel, &code, 1));
    // Long enough for a loop to have what it keeps made larger, and to be left in the midst of it.
    for icount in [40_000, 90_001, 90_007, 150_003, 300_000] {
        let limit = RunLimit::to_icount(icount);
        assert_eq!(a.run(&limit), b.run(&limit));
        if let Some(difference) = compare(&mut a, &mut b) {
            panic!("at {icount}: {difference}");
        }
        if icount == 90_007 {
            b.set_accel(Accel::Interp).expect("an engine");
        } else if b.accel() == Accel::Interp {
            b = eager(Accel::Jit, b);
        }
    }
}
