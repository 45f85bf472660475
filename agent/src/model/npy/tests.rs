use super::*;

/// The file that NumPy writes for `text` as its header and `body` as its elements.
fn file(text: &str, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [MAGIC, &length, text.as_bytes(), body].concat()
}

fn arrays() -> Vec<Array> {
    let half = f16::from_f32(1.5);
    vec![
        Array { shape: vec![2, 1], data: ArrayData::F32(vec![1.5, -2.0]) },
        Array { shape: vec![1], data: ArrayData::F16(vec![half]) },
        Array { shape: vec![], data: ArrayData::F64(vec![0.1]) },
        Array { shape: vec![3], data: ArrayData::U8(vec![0, 127, 255]) },
        Array { shape: vec![1, 1, 3], data: ArrayData::I8(vec![-128, 0, 127]) },
        Array { shape: vec![2], data: ArrayData::I16(vec![1, 0, 255, 255]) },
        Array { shape: vec![0, 5], data: ArrayData::I32(vec![]) },
        Array { shape: vec![2], data: ArrayData::I64(vec![i64::MIN, 7]) },
        Array { shape: vec![2], data: ArrayData::Bool(vec![true, false]) },
    ]
}

#[test]
fn what_is_written_is_read_back_and_begins_on_a_boundary() {
    for array in arrays() {
        let bytes = array.to_bytes();
        assert_eq!(Array::parse(&bytes).as_ref(), Ok(&array));
        assert_eq!(Array::of(array.view()).as_ref(), Ok(&array));
        let body = array.data.len() * array.data.element().size_bytes();
        assert_eq!((bytes.len() - body) % ALIGNMENT, 0, "{array:?}");
    }
}

#[test]
fn what_numpy_wrote_is_read() {
    // numpy.save of numpy.array([[1, 2]], "<i4"), NumPy 2.
    let text = "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2), }";
    let bytes = file(&format!("{text:117}\n"), &[1, 0, 0, 0, 2, 0, 0, 0]);
    let array = Array { shape: vec![1, 2], data: ArrayData::I32(vec![1, 2]) };
    assert_eq!(Array::parse(&bytes).as_ref(), Ok(&array));
    assert_eq!(array.to_bytes(), bytes);
}

#[test]
fn what_is_wrong_is_said() {
    let header = |text: &'static str| Malformed::Header(text);
    let many = format!(
        "{{'descr': '|u1', 'fortran_order': False, 'shape': ({}), }}",
        "1, ".repeat(MAX_RANK + 1)
    );
    let odd = || header("is not as NumPy writes it");
    #[rustfmt::skip]
    let cases: Vec<(Vec<u8>, Malformed)> = vec![
        (b"".to_vec(),                  Malformed::Magic),
        (b"\x93NUMPY\x02\x00".to_vec(), Malformed::Magic),
        (MAGIC.to_vec(),                header("is cut")),
        ([MAGIC, b"\xff\xff"].concat(), header("is too long")),
        ([MAGIC, b"\x05\x00{"].concat(), header("is cut")),
        (file("{}", b""),               header("lacks descr, fortran_order or shape")),
        (file("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", b""), odd()),
        (file("{'descr': '<f4', 'fortran_order': False, 'shape': (1 1), }", b""), odd()),
        (file("{'descr': '<f4', 'descr': '<f4'}", b""), odd()),
        (file("{'descr': '<f4', 'more': 1}", b""), odd()),
        (file("{'descr': '<f4', 'fortran_order': True, 'shape': (), }", b""),
            header("says column-major, expected row-major")),
        (file("{'descr': '>f4', 'fortran_order': False, 'shape': (), }", b""),
            Malformed::Type(">f4".into())),
        (file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", b"1234"),
            Malformed::Length { expected: 8, found: 4 }),
        (file("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", b"12345"),
            Malformed::Length { expected: 4, found: 5 }),
        (file("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }", b""),
            header(OVERFLOW)),
        (file("{'descr': '|b1', 'fortran_order': False, 'shape': (), }", b"\x02"),
            Malformed::Bool(2)),
        (file(&many, b"0"),             header("has too many dimensions")),
    ];
    for (bytes, expected) in cases {
        assert_eq!(Array::parse(&bytes), Err(expected), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_file_cut_or_changed_anywhere_is_read_or_refused_without_a_panic() {
    for array in arrays() {
        let whole = array.to_bytes();
        for end in 0..whole.len() {
            assert!(Array::parse(&whole[..end]).is_err(), "{array:?} cut at {end}");
        }
        for at in 0..whole.len() {
            for byte in [0, b' ', b'(', b'9', 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                if let Ok(read) = Array::parse(&changed) {
                    assert_eq!(read.data.len(), read.shape.iter().product::<usize>());
                }
            }
        }
    }
}

#[test]
fn a_view_that_a_file_cannot_hold_is_refused() {
    let views = [
        (View { shape: &[2], elements: Elements::F32(&[1.0]) }, "f32"),
        (View { shape: &[1], elements: Elements::Other(Element::Bf16, &[0, 0]) }, "bf16"),
    ];
    for (view, name) in views {
        assert_eq!(Array::of(view), Err(Malformed::Unwritable(name)));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Array::read(&dir.path().join("missing.npy")).unwrap_err();
    assert!(matches!(&missing, NpyError::Read { .. }), "{missing:?}");
    assert!(missing.to_string().contains("missing.npy"), "{missing}");
    assert!(matches!(Array::read(dir.path()), Err(NpyError::Read { .. })));

    let path = dir.path().join("large.npy");
    File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    let large = Array::read(&path).unwrap_err();
    assert!(
        matches!(large, NpyError::Malformed { source: Malformed::TooLarge(n), .. } if n > MAX_FILE_BYTES)
    );
}
