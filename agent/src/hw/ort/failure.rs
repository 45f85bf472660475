//! What the library says when something failed, and what that means.

use ort::sys::OrtStatusPtr;

use crate::pipeline::engine::EngineError;

/// A failed call: the library's own words.
pub(super) type Failure = ort::Error;

/// What a call into the library came to.
#[expect(unsafe_code, reason = "the status is a pointer that the library gave")]
#[inline]
pub(super) fn checked(status: OrtStatusPtr) -> Result<(), Failure> {
    // SAFETY: every status here comes straight from a call into the library and is used once.
    unsafe { Failure::result_from_status(status) }
}

/// The message in one line, without the place in the library's source.
pub(super) fn reason(failure: &Failure) -> String {
    in_one_line(failure.message())
}

/// What a call of CUDA or of its libraries failed with is in the middle of a message, behind the types of C++.
const CALLS: &[&str] = &["CUDA failure ", "CUDNN failure ", "CUBLAS failure ", "CUFFT failure "];

fn in_one_line(message: &str) -> String {
    if let Some(at) = CALLS.iter().filter_map(|call| message.rfind(call)).max() {
        // `CUDA failure 2: out of memory ; GPU=0 ; hostname=x ; file=/a.cc ; line=1 ; expr=cudaMalloc(&p, size);`
        let mut parts = message[at..].split(" ; ");
        let what = parts.next().unwrap_or_default().trim();
        let call = parts.find_map(|part| part.trim().strip_prefix("expr="));
        return match call.map(|call| call.trim().trim_end_matches(';').trim()) {
            Some(call) if !call.is_empty() => format!("{what}, in {call}"),
            _ => what.to_owned(),
        };
    }
    // `[ONNXRuntimeError] : 1 : FAIL : Message`
    let message = match message.strip_prefix("[ONNXRuntimeError]") {
        Some(rest) => rest.splitn(4, " : ").nth(3).unwrap_or(rest),
        None => message,
    };
    // `/a/b.cc:123 void f() Message`: the place is of no use to whoever reads a log.
    let message = match message.split_once(".cc:") {
        Some((place, rest)) if !place.contains(' ') => {
            rest.split_once(") ").map_or(rest, |(_, m)| m)
        }
        _ => message,
    };
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A failed run: over once, or for good?
pub(super) fn of_run(failure: &Failure) -> EngineError {
    let lost = failure.code() == ort::ErrorCode::DeviceReset || loses_the_device(failure.message());
    let said = Box::new(Failure::new(reason(failure)));
    if lost { EngineError::Lost(said) } else { EngineError::Run(said) }
}

/// What CUDA says after an error that stays: every later call in this process fails too.
const STICKY: &[&str] = &[
    "cuda failure 46:",  // device unavailable
    "cuda failure 101:", // no such device any more
    "cuda failure 214:", // uncorrectable memory error
    "cuda failure 700:", // illegal address
    "cuda failure 702:", // launch timed out
    "cuda failure 710:", // assertion on the device
    "cuda failure 714:", // hardware stack error
    "cuda failure 715:", // illegal instruction
    "cuda failure 716:", // misaligned address
    "cuda failure 717:", // invalid address space
    "cuda failure 718:", // invalid program counter
    "cuda failure 719:", // launch failed
    "cuda failure 999:", // unknown, and the driver gives it where the board fell off the bus
    "illegal memory access",
    "illegal instruction was encountered",
    "misaligned address",
    "unspecified launch failure",
    "the launch timed out",
    "device-side assert",
    "uncorrectable ecc error",
    "hardware stack error",
    "fallen off the bus",
    "device removed",
    "device lost",
];

fn loses_the_device(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    STICKY.iter().any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_without_the_librarys_own_places() {
        for (message, reason) in [
            ("[ONNXRuntimeError] : 1 : FAIL : Failed to load : it", "Failed to load : it"),
            ("/a/b.cc:12 void f(int) Bad\n  thing (here)", "Bad thing (here)"),
            ("plain words", "plain words"),
            // As ONNX Runtime 1.31 said it on an H100 with no memory left, shortened.
            (
                "/o/cuda_call.cc:154 std::conditional_t<THRW, void> onnxruntime::CudaCall(ERRTYPE) [with ERRTYPE = \
                 cudaError; bool THRW = true] /o/cuda_call.cc:146 CUDA failure 2: out of memory ; GPU=0 ; \
                 hostname=vm ; file=/o/x.cc ; line=355 ; expr=cudaSetDevice(info_.device_id); \n\n",
                "CUDA failure 2: out of memory, in cudaSetDevice(info_.device_id)",
            ),
            ("CUBLAS failure 3: ALLOC_FAILED ; GPU=0", "CUBLAS failure 3: ALLOC_FAILED"),
        ] {
            assert_eq!(in_one_line(message), reason);
        }
    }

    #[test]
    fn only_an_error_that_stays_loses_the_accelerator() {
        for (message, lost) in [
            ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", true),
            ("CUDA error cudaErrorLaunchFailure:unspecified launch failure", true),
            ("CUDA failure 719: unspecified launch failure", true),
            ("Uncorrectable ECC error encountered", true),
            ("CUDA failure 2: out of memory ; GPU=0 ; hostname=x", false),
            ("Non-zero status code returned while running Reshape node", false),
            ("Got invalid dimensions for input: a", false),
        ] {
            assert_eq!(loses_the_device(message), lost, "{message}");
        }
    }
}
