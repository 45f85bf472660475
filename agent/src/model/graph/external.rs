//! Weights in files beside the graph: they must lie in its folder, and hold what is read of them.

use std::path::{Component, Path, PathBuf};

/// What a tensor says of its file.
#[derive(Debug, Default)]
pub(super) struct External {
    /// The file, relative to the graph's folder.
    pub(super) location: Option<String>,
    /// First byte.
    pub(super) offset: Option<String>,
    /// Bytes.
    pub(super) length: Option<String>,
}

/// How ONNX Runtime marks a "file" that is an address in memory. In a file there is no such thing.
const ADDRESS: &str = "_ORT_MEM_ADDR_";

/// Whether `external` may be read as `bytes` bytes (where that is known): the file, or why not.
pub(super) fn check(
    external: &External,
    bytes: Option<u64>,
    folder: &Path,
) -> Result<PathBuf, String> {
    let Some(location) = external.location.as_deref().filter(|location| !location.is_empty())
    else {
        return Err("its external data has no location".to_owned());
    };
    let outside = || format!("its external data `{location}` is outside the model's folder");
    if location.contains(ADDRESS) || location.contains('\0') {
        return Err(format!("its external data `{}` is no file", location.escape_default()));
    }
    let path = Path::new(location);
    // A backslash would be a separator on another system: no file of a model needs one.
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if location.contains('\\') || !path.components().all(plain) {
        return Err(outside());
    }
    let unreadable =
        |error: std::io::Error| format!("its external data `{location}` cannot be read: {error}");
    let real = folder.join(path).canonicalize().map_err(unreadable)?;
    if !real.starts_with(folder.canonicalize().map_err(unreadable)?) {
        return Err(outside());
    }
    let about = std::fs::metadata(&real).map_err(unreadable)?;
    if !about.is_file() {
        return Err(format!("its external data `{location}` is no file"));
    }
    let number = |text: &Option<String>, what: &str| match text {
        None => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("the {what} `{text}` of its external data is no number")),
        },
    };
    let offset = number(&external.offset, "offset")?.unwrap_or(0);
    let length = number(&external.length, "length")?;
    if let (Some(length), Some(bytes)) = (length, bytes)
        && length != bytes
    {
        return Err(format!("its external data has {length} bytes, its shape needs {bytes}"));
    }
    let end = offset.checked_add(length.or(bytes).unwrap_or(0));
    if end.is_none_or(|end| end > about.len()) {
        return Err(format!("its external data reaches beyond the end of `{location}`"));
    }
    // As the engine's cache wants it: without `.`.
    Ok(path.components().filter(|part| matches!(part, Component::Normal(_))).collect())
}
