//! LZO1X, as far as compressing a page goes (the format: Linux, Documentation/staging/lzo.rst).
//!
//! A stream is a row of matches, each with the literals behind it. This encoder looks for
//! matches of at least four bytes with a hash table, takes the first that it finds, and uses
//! two of the five instructions for matches: the one for distances up to 2 KiB and lengths up
//! to 8, and the one for distances up to 16 KiB; a page is smaller than that.

const HASH_BITS: u32 = 12;
const LEAST_MATCH: usize = 4;
/// The longest run of literals that the first byte of a stream can tell.
const FIRST_LITERALS: usize = 238;

/// The encoder: a table of places by the hash of four bytes.
pub struct Lzo {
    places: [u16; 1 << HASH_BITS],
}

impl Default for Lzo {
    fn default() -> Self {
        Self { places: [0; 1 << HASH_BITS] }
    }
}

impl Lzo {
    /// Puts the stream for `input`, which is at most a page, into `out`, which is empty.
    ///
    /// # Panics
    /// If the input is longer, or something is in `out`.
    pub fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        assert!(input.len() <= 4096 && out.is_empty());
        self.places.fill(u16::MAX);
        let (mut at, mut literals) = (0, 0);
        while at + LEAST_MATCH <= input.len() {
            let slot = &mut self.places[hash(&input[at..])];
            let place = usize::from(*slot);
            *slot = at as u16;
            let length = if place < at { common(&input[place..], &input[at..]) } else { 0 };
            if length < LEAST_MATCH {
                at += 1;
                continue;
            }
            put_literals(&input[literals..at], out);
            put_match(at - place, length, out);
            at += length;
            literals = at;
        }
        put_literals(&input[literals..], out);
        // A match of distance 16384 ends the stream.
        out.extend_from_slice(&[0x11, 0, 0]);
    }
}

fn hash(bytes: &[u8]) -> usize {
    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (word.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)) as usize
}

/// For how many bytes two inputs are equal.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Up to three literals are counted by the two lowest bits of the match before them: of its last
/// byte but one.
fn put_literals(literals: &[u8], out: &mut Vec<u8>) {
    match literals.len() {
        0 => {}
        n if out.is_empty() && n <= FIRST_LITERALS => out.push(17 + n as u8),
        n @ 1..=3 => {
            let place = out.len() - 2;
            out[place] |= n as u8;
        }
        n => put_length(0, n - 3, 15, out),
    }
    out.extend_from_slice(literals);
}

/// An instruction with a length: in its low bits if it fits there, else as zero bits, a zero byte
/// for each 255, and the rest.
fn put_length(instruction: u8, length: usize, most: usize, out: &mut Vec<u8>) {
    if length <= most {
        out.push(instruction | length as u8);
        return;
    }
    let rest = length - most;
    out.push(instruction);
    out.resize(out.len() + (rest - 1) / 255, 0);
    out.push(((rest - 1) % 255 + 1) as u8);
}

/// Copies `length` bytes from `distance` bytes before.
fn put_match(distance: usize, length: usize, out: &mut Vec<u8>) {
    let d = distance - 1;
    if length <= 8 && distance <= 2048 {
        out.push(((length - 1) << 5 | (d & 7) << 2) as u8);
        out.push((d >> 3) as u8);
    } else {
        put_length(0x20, length - 2, 31, out);
        out.extend_from_slice(&((d << 2) as u16).to_le_bytes());
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use dejavm_core::cpu::Entropy;

    /// A decoder after the same document, with all instructions.
    pub fn decompress(stream: &[u8]) -> Vec<u8> {
        let (mut out, mut at, mut state) = (Vec::new(), 0, 0);
        let first = usize::from(stream[0]);
        if first > 17 {
            out.extend_from_slice(&stream[1..first - 16]);
            at = first - 16;
            state = (first - 17).min(4);
        }
        loop {
            let code = usize::from(stream[at]);
            at += 1;
            let mut length_in = |bits: usize| {
                if code & bits != 0 {
                    return code & bits;
                }
                let mut length = bits;
                while stream[at] == 0 {
                    length += 255;
                    at += 1;
                }
                at += 1;
                length + usize::from(stream[at - 1])
            };
            let (length, distance) = match code {
                0..16 if state == 0 => {
                    let n = length_in(15) + 3;
                    out.extend_from_slice(&stream[at..at + n]);
                    (at, state) = (at + n, 4);
                    continue;
                }
                0..16 => {
                    at += 1;
                    let d = usize::from(stream[at - 1]) << 2 | code >> 2;
                    if state == 4 { (3, d + 2049) } else { (2, d + 1) }
                }
                16..64 => {
                    let length = length_in(if code < 32 { 7 } else { 31 }) + 2;
                    let word = usize::from(stream[at]) | usize::from(stream[at + 1]) << 8;
                    at += 2;
                    let far = if code < 32 { 16384 + ((code & 8) << 11) } else { 1 };
                    let distance = far + (word >> 2);
                    if distance == 16384 {
                        assert_eq!((at, length), (stream.len(), 3), "the stream ends");
                        return out;
                    }
                    (length, distance)
                }
                _ => {
                    at += 1;
                    let d = usize::from(stream[at - 1]) << 3 | code >> 2 & 7;
                    if code < 128 { (3 + (code >> 5 & 1), d + 1) } else { (5 + (code >> 5 & 3), d + 1) }
                }
            };
            for _ in 0..length {
                out.push(out[out.len() - distance]);
            }
            // The byte before the last has the literals, but for the instructions of three bytes
            // and more, where it is the word's low byte: the same place.
            state = usize::from(stream[at - 2] & 3);
            out.extend_from_slice(&stream[at..at + state]);
            at += state;
        }
    }

    fn check(input: &[u8]) -> usize {
        let mut stream = Vec::new();
        Lzo::default().compress(input, &mut stream);
        assert_eq!(decompress(&stream), input);
        stream.len()
    }

    #[test]
    fn pages_come_back() {
        let zeros = check(&[0; 4096]);
        assert!(zeros < 32, "{zeros}");
        let mut random = Entropy::new(1);
        for kind in 0..200 {
            // From noise to text with few letters; of all lengths.
            let page: Vec<u8> =
                (0..4096).map(|_| (random.next_u64() % (1 + kind * kind / 40)) as u8).collect();
            check(&page[..4096 - (kind as usize * 7) % 4096]);
        }
        let noise: Vec<u8> = (0..4096).map(|_| random.next_u64() as u8).collect();
        check(&noise);
    }

    #[test]
    fn long_literals_and_long_matches() {
        let mut random = Entropy::new(2);
        for n in [1, 3, 4, 17, 18, 19, 237, 238, 239, 273, 274, 511, 1000] {
            let noise: Vec<u8> = (0..n).map(|_| random.next_u64() as u8).collect();
            check(&noise);
            for m in [2, 8, 9, 33, 34, 288, 289, 900] {
                check(&[&noise[..], &vec![7; m], &noise, &[1, 2], &noise].concat());
            }
        }
    }
}
