//! What instructions of the system families share: descriptors, gates, privilege changes.
