"""NVIDIA's own client of the inference protocol, against a real daemon.

Arguments: the port. The daemon has the models `echo` (every type), `double` (batches) and `slow`. What is not as the
client's documentation says is an AssertionError; the last line is `all well`.
"""

import sys

import ml_dtypes
import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

PORT = sys.argv[1]
client = http.InferenceServerClient(f"127.0.0.1:{PORT}", concurrency=4)


def refused(call, *parts):
    """The call is refused with a message that has all of the parts."""
    try:
        call()
    except InferenceServerException as error:
        for part in parts:
            assert part in str(error), (part, str(error))
        return error
    raise AssertionError(f"not refused: {parts}")


def tensor(name, array, datatype, binary=True):
    made = http.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


# --- health and metadata ---
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("double") and client.is_model_ready("double", "1.0.0")
assert not client.is_model_ready("nobody")
server = client.get_server_metadata()
assert server["name"] == "vedette" and "binary_tensor_data" in server["extensions"], server
model = client.get_model_metadata("double")
assert model["versions"] == ["1.0.0"] and model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}], model
config = client.get_model_config("double")
assert config["max_batch_size"] == 8 and config["input"][0]["dims"] == [3], config

# --- every type, in JSON and in binary, in and out ---
text = np.array([["", "ä\0b"], ["c", "d" * 1000]], dtype=np.object_)
TYPES = {
    "f32": ("FP32", np.array([[0.1, -2], [3, np.float32(3.4e38)]], dtype=np.float32)),
    "f64": ("FP64", np.array([[0.1, -2], [3, 1e300]], dtype=np.float64)),
    "f16": ("FP16", np.array([[0.5, -2], [3, 65504]], dtype=np.float16)),
    "bf16": ("BF16", np.array([[0.5, -2], [3, 256]], dtype=ml_dtypes.bfloat16)),
    "u8": ("UINT8", np.array([[0, 255], [1, 2]], dtype=np.uint8)),
    "i8": ("INT8", np.array([[-128, 127], [1, 2]], dtype=np.int8)),
    "u16": ("UINT16", np.array([[0, 65535], [1, 2]], dtype=np.uint16)),
    "i16": ("INT16", np.array([[-32768, 32767], [1, 2]], dtype=np.int16)),
    "u32": ("UINT32", np.array([[0, 2**32 - 1], [1, 2]], dtype=np.uint32)),
    "i32": ("INT32", np.array([[-(2**31), 2**31 - 1], [1, 2]], dtype=np.int32)),
    "u64": ("UINT64", np.array([[0, 2**64 - 1], [1, 2]], dtype=np.uint64)),
    "i64": ("INT64", np.array([[-(2**63), 2**63 - 1], [1, 2]], dtype=np.int64)),
    "bool": ("BOOL", np.array([[True, False], [False, True]])),
    "string": ("BYTES", text),
}
meta = client.get_model_metadata("echo")
assert {one["datatype"] for one in meta["inputs"]} == {datatype for datatype, _ in TYPES.values()}, meta


def same(name, found, wanted):
    if name == "string":
        found = [one.decode() if isinstance(one, bytes) else one for one in found.ravel()]
        assert found == list(wanted.ravel()), (name, found)
    else:
        assert np.array_equal(found.astype(wanted.dtype), wanted), (name, found)


for binary_in in (True, False):
    for binary_out in (True, False):
        inputs = []
        for name, (datatype, array) in TYPES.items():
            # The client itself knows these two in binary only.
            always = datatype in ("FP16", "BF16")
            inputs.append(tensor(f"in_{name}", array, datatype, binary_in or always))
        outputs = [http.InferRequestedOutput(f"out_{name}", binary_data=binary_out) for name in TYPES]
        result = client.infer("echo", inputs, outputs=outputs, request_id="r-1")
        assert result.get_response()["id"] == "r-1"
        for name, (datatype, array) in TYPES.items():
            same(name, result.as_numpy(f"out_{name}"), array)

# --- some outputs only, versions, asynchronous requests ---
x = np.array([[1, 2, 3]], dtype=np.float32)
ask = [tensor("x", x, "FP32")]
result = client.infer("double", ask, model_version="1.0.0", outputs=[http.InferRequestedOutput("minus")])
assert np.array_equal(result.as_numpy("minus"), -x) and result.as_numpy("twice") is None
assert result.get_response()["model_version"] == "1.0.0"
result = client.infer("double", ask)
assert np.array_equal(result.as_numpy("twice"), 2 * x) and np.array_equal(result.as_numpy("minus"), -x)
waiting = [client.async_infer("double", [tensor("x", x * n, "FP32")]) for n in range(16)]
for n, request in enumerate(waiting):
    assert np.array_equal(request.get_result().as_numpy("twice"), 2 * n * x), n

# --- classification ---
wanted = [http.InferRequestedOutput("twice", class_count=2)]
classes = client.infer("double", [tensor("x", np.array([[1, 3, 2], [9, 8, 7]], dtype=np.float32), "FP32")], outputs=wanted)
assert classes.as_numpy("twice").tolist() == [[b"6.000000:1:b", b"4.000000:2:c"], [b"18.000000:0:a", b"16.000000:1:b"]], \
    classes.as_numpy("twice")

# --- statistics and the repository ---
stats = client.get_inference_statistics("double")["model_stats"][0]
assert stats["inference_count"] >= 19 and stats["inference_stats"]["success"]["count"] >= 18, stats
assert stats["inference_stats"]["compute_infer"]["ns"] > 0, stats
names = {one["name"] for one in client.get_model_repository_index()}
assert names >= {"echo", "double"}, names
refused(lambda: client.load_model("double"), "nothing can be changed here")

# --- errors ---
refused(lambda: client.infer("nobody", ask), "there is no model `nobody`", "double")
refused(lambda: client.infer("double", ask, model_version="9"), "has no version `9`", "1.0.0")
refused(lambda: client.infer("double", [tensor("y", x, "FP32")]), "there is no input `y`", "`x` FP32 [-1, 3]")
refused(lambda: client.infer("double", [tensor("x", x[:, :2], "FP32")]), "shape [1, 2], expected [-1, 3]")
refused(lambda: client.infer("double", [tensor("x", x.astype(np.float64), "FP64")]), "datatype FP64, expected FP32")
refused(lambda: client.infer("double", ask, outputs=[http.InferRequestedOutput("z")]), "there is no output `z`")
refused(lambda: client.get_model_metadata("nobody"), "there is no model `nobody`")
failed = client.get_inference_statistics("double")["model_stats"][0]["inference_stats"]["fail"]["count"]
assert failed >= 4, failed
client.close()
print("all well")
