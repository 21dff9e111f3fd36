"""The table of operations: closed, pure, and wide enough for what people write."""

import inspect
import re
import subprocess
import sys

import pytest
import torch

from compiler.catalogue import operations
from compiler.catalogue.operation_table import (
    CONSTANTS,
    FACTORIES,
    FORBIDDEN_KEYWORDS,
    FUNCTIONS,
    LIST_FIRST,
    METHODS,
    MODE_ARGUMENTS,
    SCALAR_OPERATIONS,
    SPREAD_FIRST,
    STATISTICS,
)

POPULAR_FUNCTIONS = """
    abs acos add addcmul addmm all amax amin any arange argmax argmin argsort asin atan atan2 avg_pool1d
    avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d affine_grid baddbmm bernoulli
    bilinear binary_cross_entropy binary_cross_entropy_with_logits block_diag bmm broadcast_tensors
    broadcast_to bucketize cat cartesian_prod cdist ceil celu chunk clamp clone complex conv1d conv2d
    conv3d conv_transpose1d conv_transpose2d cos cosh cosine_embedding_loss cosine_similarity cross
    cross_entropy ctc_loss cummax cumprod cumsum diag diag_embed diagonal diff div dot dropout dropout2d
    einsum elu embedding embedding_bag eq erf exp expm1 eye fft.fft fft.fft2 fft.fftfreq fft.ifft
    fft.ifft2 fft.irfft fft.irfft2 fft.irfftn fft.rfft fft.rfft2 fft.rfftn flatten flip floor fold full
    full_like gather ge gelu glu grid_sample group_norm gt gumbel_softmax hann_window hardsigmoid
    hardswish hardtanh hstack huber_loss index_add index_select interpolate isfinite isnan istft kl_div
    kron l1_loss layer_norm le leaky_relu lerp linalg.det linalg.eigh linalg.inv linalg.norm linalg.qr
    linalg.solve linalg.svd linalg.vector_norm linear linspace local_response_norm log log1p log_softmax
    logaddexp logical_and logical_not logical_or logsigmoid logsumexp lt masked_fill masked_select matmul
    matrix_exp max max_pool1d max_pool2d max_pool3d max_unpool2d maximum mean median meshgrid min minimum
    mish mm movedim mse_loss mul multinomial nan_to_num narrow ne nll_loss nonzero norm normal normalize
    one_hot ones ones_like outer pad permute pixel_shuffle pixel_unshuffle polar pow prelu prod quantile
    rand rand_like randint randn randn_like randperm rearrange reduce relu relu6 repeat repeat_interleave
    reshape rms_norm roll rot90 round rsqrt scaled_dot_product_attention scatter scatter_add
    scatter_reduce searchsorted select selu sigmoid sign silu sin smooth_l1_loss softmax softmin softplus
    softsign sort special.erf special.expit special.gammaln split sqrt square squeeze stack std stft sub
    sum svd_lowrank tan tanh tensor tensordot tile topk transpose tril tril_indices triplet_margin_loss
    triu triu_indices unbind unflatten unfold unique unsqueeze var var_mean view_as_complex view_as_real
    vstack where zeros zeros_like
"""

POPULAR_METHODS = """
    abs add all amax amin any argmax argmin argsort baddbmm bernoulli bfloat16 bmm bool broadcast_to ceil
    chunk clamp clip clone conj contiguous cos cumprod cumsum detach diagonal diff dim div dot double eq
    exp expand expand_as flatten flip float floor fmod gather ge gt half index_add index_copy index_fill
    index_select int inverse is_complex is_contiguous is_floating_point isfinite isinf isnan le lerp log
    log1p log_softmax logical_and logical_not logical_or logsumexp long lt masked_fill masked_scatter
    masked_select matmul max maximum mean median min minimum mm movedim mul multinomial mv nan_to_num
    narrow ne neg new_full new_ones new_tensor new_zeros nonzero norm numel outer permute pow prod
    quantile ravel reciprocal relu remainder repeat repeat_interleave reshape reshape_as roll round rsqrt
    scatter scatter_add select sigmoid sign sin size softmax sort split sqrt square squeeze std stride sub
    sum swapaxes t tanh tensor_split tile to topk transpose tril triu type_as unbind unflatten unfold
    unique unsqueeze var view view_as where
"""

FORBIDDEN_FUNCTIONS = """
    load save compile from_numpy from_file frombuffer from_dlpack to_dlpack as_tensor asarray empty
    empty_like empty_strided set_default_device set_default_dtype set_num_threads manual_seed seed
    initial_seed get_rng_state set_rng_state vmap cond while_loop fork wait equal allclose is_nonzero
    lobpcg parse_ir import_ir_module use_deterministic_algorithms sparse_coo_tensor quantize_per_tensor
    dequantize cudnn_convolution miopen_convolution mkldnn_convolution fbgemm_linear_int8_weight
    quantized_lstm triplet_margin_with_distance_loss hub.load ops.load_library
    utils.data jit.load os.system nn.Module __import__ eval exec open
"""

FORBIDDEN_METHODS = """
    item tolist numpy data_ptr backward register_hook retain_grad requires_grad_ share_memory_ storage
    untyped_storage cuda cpu pin_memory apply_ map_ set_ resize_ copy_ add_ zero_ fill_ module_load
    record_stream new new_empty to_sparse to_mkldnn equal allclose is_nonzero as_subclass __class__
    __reduce__ data grad
"""

PRIVATE_OR_BACKEND = (
    r"_\w*|\w*_|(cudnn|miopen|mkldnn|fbgemm|quantized|native|sparse|set|from|to)_\w+|\w+_copy_?"
)


AVAILABLE = sorted(name for name in FUNCTIONS if operations.available(name))


def test_only_what_is_newer_than_the_oldest_torch_may_be_missing() -> None:
    assert set(FUNCTIONS) - set(AVAILABLE) <= {"grouped_mm", "linear_cross_entropy"}


@pytest.mark.parametrize("name", AVAILABLE)
def test_every_entry_is_a_function_of_the_installed_torch(name: str) -> None:
    found = operations.operation(name)
    assert callable(found)
    assert not inspect.isclass(found)
    leaf = FUNCTIONS[name].rsplit(".", 1)[-1]
    dispatcher = "fn"  # of torch, between a function and its twin that also returns indices
    assert found.__name__ == dispatcher or found.__name__.replace("_", "").endswith(leaf.replace("_", ""))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_is_one_of_the_installed_torch(name: str) -> None:
    assert operations.method_available(name)


def test_the_popular_functions_are_there() -> None:
    wanted = POPULAR_FUNCTIONS.split()
    assert len(wanted) > 150
    assert [name for name in wanted if name not in FUNCTIONS] == []


def test_the_popular_methods_are_there() -> None:
    wanted = POPULAR_METHODS.split()
    assert len(wanted) > 120
    assert [name for name in wanted if name not in METHODS] == []


def test_nothing_forbidden_is_reachable() -> None:
    assert [name for name in FORBIDDEN_FUNCTIONS.split() if name in FUNCTIONS or name in CONSTANTS] == []
    assert [name for name in FORBIDDEN_METHODS.split() if name in METHODS] == []
    leaves = {path.rsplit(".", 1)[-1] for path in FUNCTIONS.values()}
    assert [name for name in FORBIDDEN_FUNCTIONS.split() if name in leaves - {"cond"}] == []


def test_nothing_is_in_place_private_or_of_one_backend() -> None:
    names = {path.rsplit(".", 1)[-1] for path in FUNCTIONS.values()} | METHODS
    assert sorted(name for name in names - {"index_copy"} if re.fullmatch(PRIVATE_OR_BACKEND, name)) == []


def test_every_path_stays_in_the_namespaces_of_tensor_functions() -> None:
    roots = {path.rsplit(".", 1)[0] for path in FUNCTIONS.values()}
    assert roots == {"torch", "torch.nn.functional", "torch.fft", "torch.linalg", "torch.special", "einops"}


def test_a_name_says_its_namespace() -> None:
    for name, path in FUNCTIONS.items():
        prefix = path.removeprefix("torch.").rpartition(".")[0]
        assert name.rpartition(".")[0] == (prefix if prefix in {"fft", "linalg", "special"} else ""), name


def test_no_operation_has_two_entries_in_the_groups() -> None:
    source = inspect.getsource(sys.modules["compiler.catalogue.operation_table"])
    torch_groups = re.findall(r'\*\*_under\("torch", (\w+)\)', source)
    functional = re.findall(r'\*\*_under\("torch.nn.functional", (\w+)\)', source)
    module = sys.modules["compiler.catalogue.operation_table"]
    names = [name for group in torch_groups + functional for name in getattr(module, group).split()]
    assert sorted(names) == sorted(set(names))


def test_every_operation_with_a_mode_or_a_rate_of_dropout_says_so() -> None:
    keywords = {
        name: operations.signature(name).keywords() for name in FUNCTIONS if operations.available(name)
    }
    asking = {
        name for name, known in keywords.items() if {"training", "train", "dropout_p", "dropout"} & {*known}
    }
    assert asking == set(MODE_ARGUMENTS)
    for name, (argument, place) in MODE_ARGUMENTS.items():
        assert list(operations.signature(name).overloads[0].parameters)[place] == argument
        assert ("training" in keywords[name]) == (argument == "training")


@pytest.mark.filterwarnings("ignore")
def test_scalar_operations_are_those_that_make_one_number_of_a_feature_map() -> None:
    assert {name for name in FUNCTIONS if _gives_scalars(name)} == SCALAR_OPERATIONS


def _gives_scalars(name: str) -> bool:
    try:
        made = operations.operation(name)(torch.rand(2, 3, 4, 4))
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
    results = made if isinstance(made, tuple) else (made,)
    return all(isinstance(each, torch.Tensor) and not each.ndim for each in results)


# The bindings of these are written by hand: torch lists no overload with a device and without a tensor.
@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_factories_take_a_device_and_no_tensor(name: str) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "full": ((2,), 1.0),
        "linspace": (0, 1, 3),
        "logspace": (0, 1, 3),
        "randint": (3, (2,)),
        "tensor": ([1.0],),
        "tril_indices": (2, 2),
        "triu_indices": (2, 2),
    }
    made = operations.operation(name)(*arguments.get(name, (3,)), device="meta")
    assert made.device.type == "meta"


def test_no_other_operation_would_take_a_device_without_a_tensor() -> None:
    known = {
        *FACTORIES,
        "normal",
        "full_like",
        "ones_like",
        "zeros_like",
        "rand_like",
        "randn_like",
        "randint_like",
    }
    taking = {name for name in AVAILABLE if operations.signature(name).check(0, ["device"]) is None}
    einops = {"rearrange", "reduce", "repeat"}  # an axis may be called `device`
    assert taking - einops == known


@pytest.mark.parametrize("name", sorted(LIST_FIRST))
def test_list_first_operations_take_a_list(name: str) -> None:
    side = torch.ones(2, 2) if name != "meshgrid" else torch.ones(2)
    options = {"indexing": "ij"} if name == "meshgrid" else {}
    assert operations.operation(name)([side, side, side], **options) is not None


@pytest.mark.parametrize("name", sorted(SPREAD_FIRST))
def test_spread_first_operations_take_no_list(name: str) -> None:
    assert operations.operation(name)(torch.ones(2), torch.ones(2)) is not None
    with pytest.raises(TypeError):
        operations.operation(name)([torch.ones(2), torch.ones(2)])


def test_constants_are_dtypes_and_numbers() -> None:
    for name, path in CONSTANTS.items():
        value = getattr(torch, path.removeprefix("torch."))
        assert isinstance(value, float if name in {"inf", "pi"} else torch.dtype), name
        assert name in {"inf", "pi"} or str(value) == path


def test_forbidden_keywords() -> None:
    assert {"out", "inplace", "requires_grad", "generator", "pin_memory"} == FORBIDDEN_KEYWORDS


def test_the_table_is_read_without_torch() -> None:
    code = "import sys, compiler.catalogue.operations; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.filterwarnings("ignore")
def test_functions_leave_their_argument_alone() -> None:
    """Called on one tensor, where one is enough: its values and its version stay as they are."""
    value = torch.rand(4, 4, dtype=torch.float64) + 0.1
    before, version = value.clone(), value._version
    called = []
    for name in AVAILABLE:
        try:
            operations.operation(name)(value)
        except (TypeError, ValueError, RuntimeError, IndexError):  # takes more than one tensor, or others
            continue
        called.append(name)
        assert torch.equal(value, before), name
        assert value._version == version, name
    assert len(called) > 200


def test_what_changes_an_argument_is_known() -> None:
    for name, (arguments, (flag, place)) in STATISTICS.items():
        parameters = list(operations.signature(name).overloads[0].parameters)
        assert parameters[place] == flag
        assert {parameters[at]: at for at in arguments.values()} == arguments
        for changes in (True, False):
            running = {argument: torch.ones(4) for argument in arguments}
            operations.operation(name)(torch.rand(3, 4, 5), **running, **{flag: changes})
            assert [bool((each != 1).any()) for each in running.values()] == [changes] * len(running)


@pytest.mark.filterwarnings("ignore")
def test_methods_leave_their_tensor_alone() -> None:
    value = torch.rand(4, 4, dtype=torch.float64) + 0.1
    before, version = value.clone(), value._version
    called = []
    for name in METHODS:
        for arguments in ((), (1,), (value,)):
            try:
                getattr(value, name)(*arguments)
            except (TypeError, ValueError, RuntimeError, IndexError):
                continue
            called.append(name)
            assert torch.equal(value, before), name
            assert value._version == version, name
    assert len(set(called)) > 200
