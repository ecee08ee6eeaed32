//! Archives as the kernel unpacks them behind its initrd (Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst).

/// An archive of files, each with its path and content; all may be executed.
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let end = [("TRAILER!!!", &[][..])];
    for (number, (name, content)) in files.iter().chain(&end).enumerate() {
        archive.extend_from_slice(b"070701");
        let fields = [number, 0o10_0755, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        fields.iter().for_each(|field| archive.extend_from_slice(format!("{field:08X}").as_bytes()));
        for bytes in [&[name.as_bytes(), b"\0"].concat(), *content] {
            archive.extend_from_slice(bytes);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }
    archive
}
