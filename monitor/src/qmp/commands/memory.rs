//! Memory into files (QAPI: machine.json).

use super::{Arguments, Command, Context, Outcome, cpu_index};
use crate::control::Control;
use crate::qmp::QmpError;
use crate::qmp::schema::{NOTHING, Type, optional, required};
use dejavm_core::types::{Gpa, VcpuId};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write as _};

/// How much is read at once.
const PIECE_BYTES: u64 = 4096;

pub(super) const COMMANDS: &[Command] = &[
    Command::new(
        "memsave",
        &[
            required("val", Type::Int),
            required("size", Type::Int),
            required("filename", Type::Str),
            optional("cpu-index", Type::Int),
        ],
        NOTHING,
        |context, arguments| {
            let vcpu = cpu_index(context, arguments)?;
            save(context, arguments, Some(vcpu))
        },
    ),
    Command::new(
        "pmemsave",
        &[required("val", Type::Int), required("size", Type::Int), required("filename", Type::Str)],
        NOTHING,
        |context, arguments| save(context, arguments, None),
    ),
];

/// Saves memory as a vCPU sees it, or physical memory. Nothing is left of a file that could not
/// be completed.
fn save(context: &mut Context<'_>, arguments: &Arguments<'_>, vcpu: Option<VcpuId>) -> Outcome {
    let address = arguments.integer("val").unwrap_or(0);
    let size = arguments.unsigned("size")?;
    let path = arguments.string("filename");
    // What is not there is noticed before the file is touched.
    each_piece(context.control, vcpu, address, size, &mut |_| Ok(()))
        .map_err(|_| QmpError::generic(format!("Invalid addr 0x{address:016x}/size {size} specified")))?;
    let file = File::create(path).map_err(|e| cannot("create", path, &e))?;
    let mut file = BufWriter::new(file);
    let written = each_piece(context.control, vcpu, address, size, &mut |piece| file.write_all(piece));
    match written.and_then(|()| file.flush()) {
        Ok(()) => Ok(json!({})),
        Err(error) => {
            drop(file);
            // It is not what was asked for, and cannot be: the error is what counts.
            let _ = std::fs::remove_file(path);
            Err(cannot("write", path, &error))
        }
    }
}

fn each_piece(
    control: &mut dyn Control,
    vcpu: Option<VcpuId>,
    address: u64,
    size: u64,
    take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut buffer = [0; PIECE_BYTES as usize];
    let mut done = 0;
    while done < size {
        let piece = &mut buffer[..(size - done).min(PIECE_BYTES) as usize];
        let at = address.wrapping_add(done);
        let there = match vcpu {
            Some(vcpu) => control.read_virtual(vcpu, at, piece),
            None => control.read_physical(Gpa(at), piece),
        };
        if !there {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        take(piece)?;
        done += piece.len() as u64;
    }
    Ok(())
}

fn cannot(what: &str, path: &str, error: &std::io::Error) -> QmpError {
    let text = error.to_string();
    let cause = text.split(" (os error").next().unwrap_or_default();
    QmpError::generic(format!("Could not {what} '{path}': {cause}"))
}
