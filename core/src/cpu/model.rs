//! The CPU model: what CPUID says, and which instructions exist accordingly.
//!
//! One fixed model, described in docs/cpu-model.md: an AMD processor of family 0Fh with
//! x86-64-v2. Leaves follow the APM vol. 3, appendix E, and the SDM vol. 2, CPUID.

use super::state::{Vcpu, cr4};
use crate::mem::PHYSICAL_ADDRESS_BITS;
use iced_x86::{Code, CpuidFeature, EncodingKind, Instruction};

/// The model's name, as journals and checkpoints have it.
pub const NAME: &str = "dejavm-x86-64-v2";
/// Goes up whenever the same instructions would give other results than before.
pub const VERSION: u32 = 4;

/// CPUID.1:EAX: family 0Fh, model 6Bh, stepping 1.
pub const SIGNATURE: u32 = 0x0006_0FB1;

/// The highest standard leaf.
const MAX_STANDARD: u32 = 0xD;
/// The highest hypervisor leaf.
const MAX_HYPERVISOR: u32 = 0x4000_0000;
/// The highest extended leaf.
const MAX_EXTENDED: u32 = 0x8000_0021;

/// Width of linear addresses.
const LINEAR_ADDRESS_BITS: u32 = 48;

const BRAND: &[u8; 48] = b"dejavm Virtual CPU\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// EAX, EBX, ECX, EDX.
pub type Leaf = [u32; 4];

const ABSENT: Leaf = [0; 4];

fn bits(list: &[u32]) -> u32 {
    list.iter().fold(0, |all, n| all | 1 << n)
}

fn text(s: &[u8]) -> u32 {
    u32::from_le_bytes([s[0], s[1], s[2], s[3]])
}

/// A leaf of CPUID on this vCPU.
pub fn cpuid(cpu: &Vcpu, leaf: u32, subleaf: u32) -> Leaf {
    match leaf {
        0 => [MAX_STANDARD, text(b"Auth"), text(b"cAMD"), text(b"enti")],
        1 => features(cpu),
        // Thermal and power management: the APIC timer never stops (ARAT).
        6 => [bits(&[2]), 0, 0, 0],
        7 if subleaf == 0 => structured_features(),
        0xD => extended_state(cpu, subleaf),
        0x4000_0000 => [MAX_HYPERVISOR, text(b"Deja"), text(b"VMDe"), text(b"jaVM")],
        0x8000_0000 => [MAX_EXTENDED, text(b"Auth"), text(b"cAMD"), text(b"enti")],
        0x8000_0001 => [SIGNATURE, 0, extended_features_ecx(cpu), extended_features_edx()],
        0x8000_0002..=0x8000_0004 => brand((leaf - 0x8000_0002) as usize),
        // L1 TLBs; 64 KiB L1 data and code caches, 2-way, lines of 64 bytes.
        0x8000_0005 => [0xFF08_FF08, 0xFF20_FF20, 0x4002_0140, 0x4002_0140],
        // L2 TLBs; 512 KiB L2 cache, 16-way, lines of 64 bytes; no L3 cache.
        0x8000_0006 => [0, 0x4200_4200, 0x0200_8140, 0],
        // The TSC runs at a constant rate in all states.
        0x8000_0007 => [0, 0, 0, bits(&[8])],
        // FXSAVE and XSAVE always keep the x87 error pointers (XSAVEERPTR).
        0x8000_0008 => [PHYSICAL_ADDRESS_BITS | LINEAR_ADDRESS_BITS << 8, bits(&[2]), core_count(cpu), 0],
        // A null selector clears the base; LFENCE is dispatch-serialising.
        0x8000_0021 => [bits(&[2, 6]), 0, 0, 0],
        _ => ABSENT,
    }
}

fn features(cpu: &Vcpu) -> Leaf {
    let count = cpu.vcpu_count.max(1);
    // Initial APIC ID, logical processors, CLFLUSH line in units of 8 bytes.
    let ebx = (cpu.id as u32) << 24 | count << 16 | 8 << 8;
    // SSE3 SSSE3 CX16 PCID SSE4.1 SSE4.2 POPCNT TSC-deadline XSAVE RDRAND hypervisor.
    let ecx = bits(&[0, 9, 13, 17, 19, 20, 23, 24, 26, 30, 31]);
    let osxsave = if cpu.cr4 & cr4::OSXSAVE != 0 { bits(&[27]) } else { 0 };
    let htt = if count > 1 { bits(&[28]) } else { 0 };
    // CLFSH MMX FXSR SSE SSE2 over what is common with leaf 8000_0001h.
    let edx = COMMON_EDX | bits(&[11, 19, 23, 24, 25, 26]) | htt;
    [SIGNATURE, ebx, ecx | osxsave, edx]
}

/// FPU DE PSE TSC MSR PAE MCE CX8 APIC MTRR PGE MCA CMOV PAT PSE36.
const COMMON_EDX: u32 = 1
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 7
    | 1 << 8
    | 1 << 9
    | 1 << 12
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 16
    | 1 << 17;

fn structured_features() -> Leaf {
    // FSGSBASE TSC_ADJUST SMEP ERMS INVPCID RDSEED SMAP; UMIP; FSRM.
    [0, bits(&[0, 1, 7, 9, 10, 18, 20]), bits(&[2]), bits(&[4])]
}

/// XSAVE area: legacy region and header. x87 and SSE need no more.
const XSAVE_BYTES: u32 = 576;

fn extended_state(_: &Vcpu, subleaf: u32) -> Leaf {
    match subleaf {
        0 => [3, XSAVE_BYTES, XSAVE_BYTES, 0],
        // XSAVEOPT.
        1 => [1, 0, 0, 0],
        _ => ABSENT,
    }
}

fn extended_features_ecx(cpu: &Vcpu) -> u32 {
    // LAHF AltMovCr8 PREFETCHW OSVW; CmpLegacy with several cores.
    let legacy = if cpu.vcpu_count > 1 { bits(&[1]) } else { 0 };
    bits(&[0, 4, 8, 9]) | legacy
}

fn extended_features_edx() -> u32 {
    // SYSCALL NX MMX FXSR 1-GiB pages RDTSCP long mode.
    COMMON_EDX | bits(&[11, 20, 23, 24, 26, 27, 29])
}

fn brand(part: usize) -> Leaf {
    std::array::from_fn(|k| text(&BRAND[16 * part + 4 * k..]))
}

/// Cores in the package less one, and how many bits of the APIC ID number them.
fn core_count(cpu: &Vcpu) -> u32 {
    let cores = cpu.vcpu_count.max(1);
    let id_bits = cores.next_power_of_two().trailing_zeros();
    (cores - 1) | id_bits << 12
}

/// Whether the model has all that an instruction asks for.
pub fn supported(i: &Instruction) -> bool {
    // Encodings in the hint space are NOPs to a CPU that lacks their meaning; PREFETCH came with 3DNow!.
    let hint = matches!(
        i.code(),
        Code::Rdsspd_r32
            | Code::Rdsspq_r64
            | Code::Prefetch_m8
            | Code::Prefetchit0_m8
            | Code::Prefetchit1_m8
            | Code::Cldemote_m8
    );
    let legacy = i.encoding() == EncodingKind::Legacy;
    hint || (legacy && i.cpuid_features().iter().all(|f| has_feature(*f)))
}

fn has_feature(f: CpuidFeature) -> bool {
    use CpuidFeature as F;
    matches!(
        f,
        F::INTEL8086
            | F::INTEL186
            | F::INTEL286
            | F::INTEL386
            | F::INTEL486
            | F::X64
            | F::CLFSH
            | F::CMOV
            | F::CMPXCHG16B
            | F::CPUID
            | F::CX8
            | F::FPU
            | F::FPU287
            | F::FPU387
            | F::FSGSBASE
            | F::FXSR
            | F::INVPCID
            | F::MMX
            | F::MSR
            | F::MULTIBYTENOP
            | F::PAUSE
            | F::POPCNT
            | F::PREFETCHW
            | F::RDPMC
            | F::RDRAND
            | F::RDSEED
            | F::RDTSCP
            | F::SEP
            | F::SMAP
            | F::SSE
            | F::SSE2
            | F::SSE3
            | F::SSSE3
            | F::SSE4_1
            | F::SSE4_2
            | F::SYSCALL
            | F::TSC
            | F::XSAVE
            | F::XSAVEOPT
            // NOPs where the feature is missing (hint space).
            | F::CET_IBT
            | F::CLDEMOTE
            | F::PREFETCHWT1
    )
}
