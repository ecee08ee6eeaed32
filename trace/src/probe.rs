//! What the probes of the machine saw, as trace events.

use crate::event::{EventId, Registry, Value};
use dejavm_core::boundary::{ProbeEvent, ProbeKind, ProbeRecord};

/// The probes, and the event that each feeds.
pub const PROBES: [(ProbeKind, EventId); 3] = [
    (ProbeKind::Exception, EventId::CpuException),
    (ProbeKind::Interrupt, EventId::CpuInterrupt),
    (ProbeKind::Nmi, EventId::CpuNmi),
];

/// Writes what a probe saw.
pub fn emit(registry: &Registry, record: &ProbeRecord) {
    let vcpu = Value::U64(record.vcpu as u64);
    match record.event {
        ProbeEvent::Exception { vector, error_code, rip, address } => {
            registry.emit(EventId::CpuException, record.position, || {
                let code = error_code.map_or(Value::Text("none".into()), |c| Value::U64(c.into()));
                vec![vcpu, Value::U64(vector.into()), code, Value::U64(rip), Value::U64(address)]
            });
        }
        ProbeEvent::Interrupt { vector, rip } => {
            registry.emit(EventId::CpuInterrupt, record.position, || {
                vec![vcpu, Value::U64(vector.into()), Value::U64(rip)]
            });
        }
        ProbeEvent::Nmi { rip } => {
            registry.emit(EventId::CpuNmi, record.position, || vec![vcpu, Value::U64(rip)]);
        }
    }
}
