"""The first calls of a process on a device: in a graph, in a child; and none at the import."""

from devices import CUDA
from fresh import output

FIRST_CALL_IN_A_GRAPH = """
import json, torch, polyops
polyops._C.set_gate(False)
x = torch.randn(64, 1000, device="cuda", dtype=torch.bfloat16)
w = torch.ones(1000, device="cuda", dtype=torch.bfloat16)
torch.cuda.synchronize()
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    y = torch.softmax(torch.nn.functional.layer_norm(x, (1000,), w, w), -1)
graph.replay()
torch.cuda.synchronize()
with polyops.disable():
    z = torch.softmax(torch.nn.functional.layer_norm(x, (1000,), w, w), -1)
hits = sum(op["hits"] for op in polyops.stats().values())
print(json.dumps([hits, (y.float() - z.float()).abs().max().item()]))
"""


@CUDA
def test_the_very_first_call_can_be_captured() -> None:
    count, error = output(FIRST_CALL_IN_A_GRAPH)
    assert count == 2
    assert error < 1e-3


# Whole grids, clusters that the device is asked about, launches that begin early, behind these and
# in front of them, too: each captured before any of its kernels has run.
CAPTURED = """
import json, torch, polyops
polyops._C.set_gate(False)
torch.manual_seed(0)
aten, bf16 = torch.ops.aten, torch.bfloat16
image = torch.randn(32, 64, 56, 56, device="cuda", dtype=bf16)
image = image.to(memory_format=torch.channels_last)
rows = torch.randn(2048, 1024, device="cuda", dtype=bf16)
long = torch.randn(64, 65536, device="cuda")
one, scale = torch.ones(1024, device="cuda", dtype=bf16), torch.ones(64, device="cuda")
mean, rstd = torch.zeros(2048, 1, device="cuda"), torch.ones(2048, 1, device="cuda")
places = torch.randint(500, (2048,), device="cuda")
running = [torch.zeros(64, device="cuda"), torch.ones(64, device="cuda")]
saved = aten.native_batch_norm(image, scale, scale, *running, True, 0.0, 1e-5)[1:]
spots = torch.randn(500, 1024, device="cuda", dtype=bf16)
calls = {
    "batch_norm": lambda: aten.native_batch_norm(image, scale, scale, *running, True, 0.0, 1e-5),
    "batch_norm_backward": lambda: aten.native_batch_norm_backward(
        image, image, scale, *running, *saved, True, 1e-5, [True, True, True]),
    "softmax": lambda: aten._softmax(long, -1, False),
    "layer_norm": lambda: aten.native_layer_norm(long, [65536], None, None, 1e-5),
    "layer_norm_backward": lambda: aten.native_layer_norm_backward(
        rows, rows, [1024], mean, rstd, one, one, [True, True, True]),
    "group_norm": lambda: aten.native_group_norm(image.contiguous(), scale.to(bf16), None, 32, 64,
                                                 56 * 56, 4, 1e-5),
    "embedding": lambda of=rows: aten.embedding_dense_backward(of, places, 500, -1, False),
    "index_add": lambda of=rows: aten.index_add(spots.to(of.dtype), 0, places, of),
    "cumsum": lambda: aten.cumsum(long, -1),
    "linalg_vector_norm": lambda: aten.linalg_vector_norm(long),
    "batch_norm, relu": lambda: aten.relu(calls["batch_norm"]()[0]),
    "relu, batch_norm": lambda: aten.native_batch_norm(
        aten.relu(image), scale, scale, *running, True, 0.0, 1e-5),
    "relu, softmax": lambda: aten._softmax(aten.relu(long), -1, False),
}
torch.cuda.synchronize()
off = {}
for name, call in calls.items():
    polyops.reset_stats()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        ours = call()
    hits = sum(op["hits"] for op in polyops.stats().values())
    for _ in range(2):
        graph.replay()
    torch.cuda.synchronize()
    with polyops.disable():
        # Stock's sums of bfloat16 are further from the exact ones than the bound.
        stock = call(rows.float()) if name in ("embedding", "index_add") else call()
    pairs = zip(*([t] if isinstance(t, torch.Tensor) else t for t in (ours, stock)))
    errors = [(a.float() - b.float()).abs().max() / b.abs().max().clamp(min=1) for a, b in pairs]
    off[name] = [hits, max(errors).item()]
print(json.dumps(off))
"""


@CUDA
def test_every_kind_of_launch_can_be_captured_first() -> None:
    for name, (hits, error) in output(CAPTURED).items():
        assert hits >= len(name.split(", ")), name
        assert error < 2**-7, name


FORK = """
import json, os, torch, polyops
polyops._C.set_gate(False)
assert not torch.cuda.is_initialized()
read, write = os.pipe()
child = os.fork()
if child == 0:
    y = torch.softmax(torch.randn(8, 1000, device="cuda"), -1)
    hits = polyops.stats()["softmax"]["hits"]
    os.write(write, json.dumps([hits, y.sum().item()]).encode())
    os._exit(0)
os.waitpid(child, 0)
print(os.read(read, 1000).decode())
"""


@CUDA
def test_a_child_forked_after_the_import_can_use_the_device() -> None:
    count, total = output(FORK)
    assert count == 1
    assert abs(total - 8) < 1e-3


@CUDA
def test_import_makes_no_context() -> None:
    code = "import json, torch, polyops; torch.softmax(torch.randn(4, 9), -1);"
    state = "[f['loaded'] for f in polyops._C.families() if f['device'] == 'cuda']"
    assert output(f"{code} print(json.dumps([torch.cuda.is_initialized(), {state}]))") == [
        False,
        [False],
    ]
