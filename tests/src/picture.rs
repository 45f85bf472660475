//! Writes small pictures, good ones and bad ones, without a library: a library would refuse to write most of the
//! bad ones.

/// A PNG picture of one colour, grey, 8 bits.
#[must_use]
pub fn png(width: u32, height: u32, grey: u8) -> Vec<u8> {
    png_of(width, height, 8, &[grey])
}

/// The same with 16 bits.
#[must_use]
pub fn png_of_16_bits(width: u32, height: u32, grey: u16) -> Vec<u8> {
    png_of(width, height, 16, &grey.to_be_bytes())
}

/// A PNG file whose header promises `width` × `height` pixels and that has none.
#[must_use]
pub fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut file = png_start(width, height, 8);
    chunk(&mut file, b"IDAT", &zlib(&[]));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn png_of(width: u32, height: u32, bits: u8, pixel: &[u8]) -> Vec<u8> {
    let mut file = png_start(width, height, bits);
    let count = usize::try_from(width).unwrap_or(0);
    // Each row begins with its filter: none.
    let row: Vec<u8> = [0].into_iter().chain(pixel.repeat(count)).collect();
    chunk(&mut file, b"IDAT", &zlib(&row.repeat(usize::try_from(height).unwrap_or(0))));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn png_start(width: u32, height: u32, bits: u8) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    // Grey, deflated, filtered by rows, not interlaced.
    header.extend([bits, 0, 0, 0, 0]);
    chunk(&mut file, b"IHDR", &header);
    file
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], body: &[u8]) {
    file.extend(u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
    let named = [name, body].concat();
    file.extend(&named);
    file.extend(crc(&named).to_be_bytes());
}

/// `bytes` as a zlib stream of blocks that are not compressed.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        stream.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(0);
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler(bytes).to_be_bytes());
    stream
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

fn adler(bytes: &[u8]) -> u32 {
    let (low, high) = bytes.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65521;
        (low, (high + low) % 65521)
    });
    high << 16 | low
}

/// A JPEG picture of one colour with `components` components, each of the same middle value: 1 is grey, 3 is
/// colour, 4 is CMYK. Sizes that are no multiples of 8 are cut from the last blocks.
#[must_use]
pub fn jpeg(width: u16, height: u16, components: u8) -> Vec<u8> {
    let mut file = jpeg_header(width, height, components);
    // One code for "no difference" in both tables, `0`: a block of the middle value is those two bits.
    let blocks = u64::from(width.div_ceil(8)) * u64::from(height.div_ceil(8));
    let bits = usize::try_from(blocks * u64::from(components) * 2).unwrap_or(0);
    file.extend(std::iter::repeat_n(0, bits / 8));
    if bits % 8 > 0 {
        // Filled up with ones.
        file.push(0xff >> (bits % 8));
    }
    file.extend([0xff, 0xd9]);
    file
}

/// A JPEG file up to where its pixels begin.
#[must_use]
pub fn jpeg_header(width: u16, height: u16, components: u8) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8];
    if components == 4 {
        // Adobe's mark, without which four components mean nothing; transform 0 is CMYK.
        segment(&mut file, 0xee, b"Adobe\0\x64\0\0\0\0\0");
    }
    segment(&mut file, 0xdb, &[&[0][..], &[1; 64]].concat());
    let mut frame = vec![8];
    frame.extend(height.to_be_bytes());
    frame.extend(width.to_be_bytes());
    frame.push(components);
    let mut scan = vec![components];
    for id in 1..=components {
        frame.extend([id, 0x11, 0]);
        scan.extend([id, 0]);
    }
    segment(&mut file, 0xc0, &frame);
    for table in [0x00, 0x10] {
        // One code of one bit, which stands for 0.
        segment(&mut file, 0xc4, &[&[table, 1][..], &[0; 15], &[0]].concat());
    }
    scan.extend([0, 63, 0]);
    segment(&mut file, 0xda, &scan);
    file
}

fn segment(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend([0xff, marker]);
    file.extend(u16::try_from(body.len() + 2).unwrap_or(0).to_be_bytes());
    file.extend(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        // The check values that the two specifications' own descriptions give for these nine digits.
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler(b"123456789"), 0x091e_01de);
    }

    #[test]
    fn a_stream_that_is_longer_than_a_block_has_two() {
        assert_eq!(zlib(&[]), [0x78, 1, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 1]);
        let long = zlib(&[0; 0x1_0000]);
        assert_eq!(long.len(), 2 + 5 + 0xffff + 5 + 1 + 4);
        assert_eq!((long[2], long[2 + 5 + 0xffff]), (0, 1));
    }
}
