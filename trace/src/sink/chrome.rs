//! The Trace Event Format of Chrome's tracing, as JSON: instant events, a thread per vCPU. It opens
//! in Perfetto's UI and in `chrome://tracing`. Time is virtual, in microseconds.

use super::json::put_arguments;
use crate::event::description;
use dejavm_core::boundary::ProbeRecord;
use std::fmt::Write;

/// The thread of what happens on no vCPU.
const MACHINE_THREAD: u8 = 255;

/// Opens the list, with the name of the process.
pub const BEGIN: &str = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n\
    {\"name\":\"process_name\",\"ph\":\"M\",\"pid\":0,\"args\":{\"name\":\"guest\"}},\n\
    {\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":0,\"tid\":255,\"args\":{\"name\":\"machine\"}}";

/// Closes it.
pub const END: &str = "\n]}\n";

/// Further elements of the list.
pub fn encode(records: &[ProbeRecord]) -> Vec<u8> {
    let mut text = String::with_capacity(records.len() * 128);
    for record in records {
        let name = &description(record.event.kind()).name;
        let (us, ns) = (record.position.now_ns / 1000, record.position.now_ns % 1000);
        let thread = record.vcpu.unwrap_or(MACHINE_THREAD);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            ",\n{{\"name\":\"{name}\",\"ph\":\"i\",\"s\":\"t\",\"ts\":{us}.{ns:03},\"pid\":0,\"tid\":{thread},\
             \"args\":{{\"icount\":{}",
            record.position.icount
        );
        put_arguments(&mut text, record);
        text.push_str("}}");
    }
    text.into_bytes()
}
