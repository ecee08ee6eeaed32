//! Runs cases on both machines and collects what differs.

use crate::compare::{Tolerance, differences, report};
use crate::generate::{encode::encode, state};
use crate::image::Input;
use crate::isa::{Family, Row, Subject};
use crate::native::{BATCH, Native};
use crate::rig::{Interpreted, Rig};
use crate::rng::Rng;
use dejavm_core::cpu::flags;
use std::collections::BTreeMap;
use std::io;

/// Reports kept per form; further failures are counted only.
const REPORTS_PER_FORM: usize = 3;

/// The two machines.
pub struct Pair {
    native: Native,
    rig: Rig,
    /// The host's undefined flags are ours (AMD, from Zen on).
    canonical_host: bool,
    /// Bit scans leave the flags that Zen 4 leaves.
    zen_4: bool,
}

/// What came of the cases of a form.
#[derive(Default, Debug)]
pub struct Outcome {
    /// Cases run on both.
    pub passed: u64,
    /// Cases that differed.
    pub failed: u64,
    /// The interpreter has no handler.
    pub not_implemented: bool,
    /// The form could not be encoded.
    pub not_encoded: bool,
    /// The first failures, in full.
    pub reports: Vec<String>,
}

/// What came of a family, by form.
pub type Summary = BTreeMap<String, Outcome>;

/// A case before it is run.
struct Case {
    seed: u64,
    code: Vec<u8>,
    tolerance: Tolerance,
    form: String,
}

impl Pair {
    /// Starts both.
    ///
    /// # Errors
    /// Why the host CPU cannot be asked.
    pub fn start() -> io::Result<Self> {
        Ok(Self {
            native: Native::start()?,
            rig: Rig::new(),
            canonical_host: host_is_amd(),
            zen_4: host_is_zen_4(),
        })
    }

    /// Runs `cases_per_form` cases of every form of a family.
    ///
    /// # Errors
    /// If the child that asks the host CPU is lost and cannot be started again.
    pub fn run_family(&mut self, family: &Family, cases_per_form: u64, seed: u64) -> io::Result<Summary> {
        let mut summary = Summary::new();
        let mut batch = Vec::with_capacity(BATCH);
        for (k, row) in family.rows.iter().enumerate() {
            let form = form_name(row);
            let mut rng = Rng::new(seed ^ hash(&form));
            summary.entry(form.clone()).or_default();
            for n in 0..cases_per_form {
                let Some(code) = code_of(row, &mut rng) else {
                    summary.entry(form.clone()).or_default().not_encoded = true;
                    break;
                };
                let tolerance = self.tolerance(row, &code);
                batch.push(Case { seed: rng.u64(), code, tolerance, form: form.clone() });
                let last = k + 1 == family.rows.len() && n + 1 == cases_per_form;
                if batch.len() == BATCH || last {
                    self.run_batch(&batch, &mut summary)?;
                    batch.clear();
                    if summary[&form].not_implemented {
                        break;
                    }
                }
            }
        }
        self.run_batch(&batch, &mut summary)?;
        Ok(summary)
    }

    /// Runs one case; the report if it differs.
    ///
    /// # Errors
    /// If the child that asks the host CPU is lost.
    pub fn run_one(&mut self, seed: u64, code: &[u8], tolerance: Tolerance) -> io::Result<Outcome> {
        let mut summary = Summary::new();
        let case = Case { seed, code: code.to_vec(), tolerance, form: String::new() };
        self.run_batch(&[case], &mut summary)?;
        Ok(summary.remove("").unwrap_or_default())
    }

    /// Gives the two machines different code with the same registers and memory; what differs
    /// afterwards. For the test that differences are found.
    ///
    /// # Errors
    /// If the child that asks the host CPU is lost.
    pub fn run_different(&mut self, seed: u64, ours: &[u8], native: &[u8]) -> io::Result<Vec<String>> {
        let input = state::input(seed, ours);
        self.native.submit(&[Input { code: native.to_vec(), ..input.clone() }])?;
        let interpreted = self.rig.run(&input);
        let host = self.native.collect(1)?;
        Ok(match interpreted {
            Interpreted::Ran(o) => differences(&o, &host[0], &Tolerance::default()),
            Interpreted::NotImplemented => Vec::new(),
        })
    }

    fn run_batch(&mut self, cases: &[Case], summary: &mut Summary) -> io::Result<()> {
        if cases.is_empty() {
            return Ok(());
        }
        let inputs: Vec<Input> = cases.iter().map(|c| state::input(c.seed, &c.code)).collect();
        self.native.submit(&inputs)?;
        let interpreted: Vec<Interpreted> = inputs.iter().map(|i| self.rig.run(i)).collect();
        let host = match self.native.collect(inputs.len()) {
            Ok(host) => host,
            Err(e) => {
                let codes: Vec<_> =
                    cases.iter().map(|c| format!("{:#x}:{:02x?} {}", c.seed, c.code, c.form)).collect();
                return Err(io::Error::other(format!("{e} of {codes:#?}")));
            }
        };
        for ((case, input), (ours, host)) in cases.iter().zip(&inputs).zip(interpreted.iter().zip(&host)) {
            let outcome = summary.entry(case.form.clone()).or_default();
            let Interpreted::Ran(ours) = ours else {
                outcome.not_implemented = true;
                continue;
            };
            let d = differences(ours, host, &case.tolerance);
            if d.is_empty() {
                outcome.passed += 1;
                continue;
            }
            let reached_the_child =
                ours.ending.vector == 14 && host.ending.vector != 14 && self.native.maps(ours.ending.address);
            if reached_the_child {
                continue;
            }
            outcome.failed += 1;
            if outcome.reports.len() < REPORTS_PER_FORM {
                outcome.reports.push(report(case.seed, input, ours, host, &d));
            }
        }
        Ok(())
    }

    /// The row's tolerance; on a host of another vendor, undefined flags are not compared, nor are
    /// those of bit scans on an AMD processor before Zen 4.
    fn tolerance(&self, row: &Row, code: &[u8]) -> Tolerance {
        let mut t = row.tolerance;
        if !self.canonical_host {
            t.flags |= state::decode(code).iter().fold(0, |f, i| f | undefined_flags(i.rflags_undefined()));
        } else if !self.zen_4 {
            let scans = state::decode(code).into_iter().filter(is_bit_scan);
            t.flags |= scans.fold(0, |f, i| f | undefined_flags(i.rflags_undefined()));
        }
        t
    }
}

fn form_name(row: &Row) -> String {
    match &row.subject {
        Subject::Form(code) => format!("{code:?}"),
        Subject::Bytes(bytes) => format!("{bytes:02x?}"),
    }
}

fn code_of(row: &Row, rng: &mut Rng) -> Option<Vec<u8>> {
    match &row.subject {
        Subject::Form(code) => encode(*code, rng),
        Subject::Bytes(bytes) => Some(bytes.clone()),
    }
}

/// FNV-1a, so that the cases of a form do not depend on the other rows of its file.
fn hash(s: &str) -> u64 {
    s.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}

fn host_is_amd() -> bool {
    let id = std::arch::x86_64::__cpuid(0);
    // "AuthenticAMD" in EBX EDX ECX.
    (id.ebx, id.edx, id.ecx) == (0x6874_7541, 0x6974_6E65, 0x444D_4163)
}

/// Zen 4 and later clear the flags that BSF and BSR leave undefined; those before leave others.
fn host_is_zen_4() -> bool {
    let eax = std::arch::x86_64::__cpuid(1).eax;
    let family = (eax >> 8 & 0xF) + (eax >> 20 & 0xFF);
    let model = (eax >> 4 & 0xF) | (eax >> 12 & 0xF0);
    let zen_4_of_19h = matches!(model, 0x10..=0x1F | 0x60..=0x7F | 0xA0..=0xAF);
    host_is_amd() && (family > 0x19 || family == 0x19 && zen_4_of_19h)
}

fn is_bit_scan(i: &iced_x86::Instruction) -> bool {
    matches!(i.mnemonic(), iced_x86::Mnemonic::Bsf | iced_x86::Mnemonic::Bsr)
}

fn undefined_flags(bits: u32) -> u64 {
    use iced_x86::RflagsBits as R;
    let table = [
        (R::OF, flags::OF),
        (R::SF, flags::SF),
        (R::ZF, flags::ZF),
        (R::AF, flags::AF),
        (R::CF, flags::CF),
        (R::PF, flags::PF),
    ];
    table.iter().filter(|(b, _)| bits & b != 0).fold(0, |f, (_, flag)| f | flag)
}
