"""The closed table of what a forward program may call.

A program names operations; it never names a Python object. This table is the only way from one to the other,
so whatever is not here cannot be reached from a spec, however the spec is written. It is data, read without
torch, and every entry was chosen by hand:

* it is pure: it returns new tensors (or views, or facts about shape and dtype) and changes no argument. Those of
  ``STATISTICS`` are the one exception: they change the buffers that they are given, which have to be declared as such;
* it does not look into a tensor (no ``item``, ``tolist``, ``equal``): its values never become Python values;
* it touches no file, no global state, no device setting and no memory that nobody wrote (no ``empty``);
* it takes no function as an argument, and no storage, sparse, quantized or backend-specific tensor;
* it is public, documented and not deprecated. (``norm`` and ``stft`` are kept: their replacements do not
  cover what people write.)

Where ``torch`` and ``torch.nn.functional`` both have a name, the entry is what a PyTorch programmer writes.
"""

from typing import NamedTuple


def _under(root: str, names: str, prefix: str = "") -> dict[str, str]:
    """Entries for functions that keep the name which they have in the namespace ``root``."""
    return {prefix + name: f"{root}.{name}" for name in names.split()}


# --- torch: one value per element -----------------------------------------------------------------------

_ELEMENTWISE = """
    abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan
    atan2 atanh ceil clamp clamp_max clamp_min clip conj conj_physical copysign cos cosh deg2rad digamma
    erf erfc erfinv exp exp2 expm1 fix float_power floor fmod frac frexp gcd heaviside hypot i0 igamma
    igammac imag lcm ldexp lerp lgamma log log10 log1p log2 logaddexp logaddexp2 logit mvlgamma nan_to_num
    neg negative nextafter polar polygamma positive pow rad2deg real reciprocal relu remainder
    resolve_conj resolve_neg round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh trunc
    xlogy
"""

_ARITHMETIC = """
    add addcdiv addcmul complex div divide floor_divide fmax fmin maximum minimum mul multiply sub
    subtract true_divide
"""

_COMPARISON = """
    bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor eq ge greater
    greater_equal gt isclose isfinite isin isinf isnan isneginf isposinf isreal le less less_equal
    logical_and logical_not logical_or logical_xor lt ne not_equal where
"""

# --- torch: over dimensions -----------------------------------------------------------------------------

_REDUCTION = """
    all amax amin aminmax any argmax argmin bincount corrcoef count_nonzero cov dist histc histogram
    histogramdd kthvalue logsumexp max mean median min mode nanmean nanmedian nanquantile nansum norm prod
    quantile std std_mean sum var var_mean
"""

_SCAN = """
    cummax cummin cumprod cumsum cumulative_trapezoid diff gradient logcumsumexp renorm trapezoid trapz
"""

_ORDER = "argsort bucketize msort searchsorted sort topk unique unique_consecutive"

# --- torch: shapes, joining, indexing -------------------------------------------------------------------

_SHAPE = """
    adjoint as_strided atleast_1d atleast_2d atleast_3d broadcast_tensors broadcast_to clone detach diag
    diag_embed diagflat diagonal flatten flip fliplr flipud moveaxis movedim permute ravel
    repeat_interleave reshape roll rot90 squeeze swapaxes swapdims t tile transpose tril triu unflatten
    unsqueeze view_as_complex view_as_real
"""

_JOIN_AND_SPLIT = """
    block_diag cartesian_prod cat chunk column_stack combinations concat concatenate dsplit dstack hsplit
    hstack meshgrid row_stack split stack tensor_split unbind vsplit vstack
"""

_INDEX = """
    argwhere as_strided_scatter diagonal_scatter gather index_add index_copy index_fill index_put
    index_reduce index_select masked_fill masked_scatter masked_select narrow nonzero nonzero_static put
    scatter scatter_add scatter_reduce select select_scatter slice_scatter take take_along_dim
    unravel_index
"""

# --- torch: linear algebra and signals ------------------------------------------------------------------

_ALGEBRA = """
    addbmm addmm addmv addr baddbmm bmm cdist cholesky_inverse cholesky_solve cross det dot einsum geqrf
    inner inverse kron logdet lu_unpack matmul matrix_exp matrix_power mm mv orgqr ormqr outer pca_lowrank
    pinverse slogdet svd_lowrank tensordot trace vander vdot
"""

_SIGNAL = "istft stft"

# --- torch: making tensors ------------------------------------------------------------------------------

_NEW = """
    arange bartlett_window blackman_window eye full hamming_window hann_window kaiser_window linspace
    logspace ones tensor tril_indices triu_indices zeros
"""

_NEW_LIKE = "full_like ones_like zeros_like"

_RANDOM = """
    bernoulli binomial multinomial normal poisson rand rand_like randint randint_like randn randn_like
    randperm
"""

# --- torch: facts about shapes and dtypes, which are known without looking at values --------------------

_FACTS = """
    broadcast_shapes can_cast is_complex is_conj is_floating_point is_signed is_tensor numel promote_types
    result_type
"""

# --- torch.nn.functional --------------------------------------------------------------------------------

_ACTIVATION = """
    celu elu gelu glu gumbel_softmax hardshrink hardsigmoid hardswish hardtanh leaky_relu log_softmax
    logsigmoid mish prelu relu6 rrelu selu silu softmax softmin softplus softshrink softsign tanhshrink
    threshold
"""

_LAYER_LIKE = """
    bilinear channel_shuffle conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d
    conv_transpose3d embedding embedding_bag fold grouped_mm linear multi_head_attention_forward one_hot
    pad pixel_shuffle pixel_unshuffle scaled_dot_product_attention unfold
"""

_POOLING = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d fractional_max_pool2d fractional_max_pool3d
    lp_pool1d lp_pool2d lp_pool3d max_pool1d max_pool2d max_pool3d max_unpool1d max_unpool2d max_unpool3d
"""

_NORMALISATION = "batch_norm group_norm instance_norm layer_norm local_response_norm normalize rms_norm"

_DROPOUT = "alpha_dropout dropout dropout1d dropout2d dropout3d feature_alpha_dropout"

_VISION = "affine_grid grid_sample interpolate"

_DISTANCE = "cosine_similarity pairwise_distance pdist"

# triplet_margin_with_distance_loss is not here: it takes a function.
_LOSS = """
    binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy ctc_loss
    gaussian_nll_loss hinge_embedding_loss huber_loss kl_div l1_loss linear_cross_entropy
    margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss
    nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss triplet_margin_loss
"""

# --- the namespaces that keep their prefix --------------------------------------------------------------

_FFT = """
    fft fft2 fftfreq fftn fftshift hfft hfft2 hfftn ifft ifft2 ifftn ifftshift ihfft ihfft2 ihfftn irfft
    irfft2 irfftn rfft rfft2 rfftfreq rfftn
"""

_LINALG = """
    cholesky cholesky_ex cond cross det diagonal eig eigh eigvals eigvalsh householder_product inv inv_ex
    ldl_factor ldl_factor_ex ldl_solve lstsq lu lu_factor lu_factor_ex lu_solve matmul matrix_exp
    matrix_norm matrix_power matrix_rank multi_dot norm pinv qr slogdet solve solve_ex solve_triangular
    svd svdvals tensorinv tensorsolve vander vecdot vector_norm
"""

_SPECIAL = """
    airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 chebyshev_polynomial_t chebyshev_polynomial_u
    chebyshev_polynomial_v chebyshev_polynomial_w digamma entr erf erfc erfcx erfinv exp2 expit expm1
    gammainc gammaincc gammaln hermite_polynomial_h hermite_polynomial_he i0 i0e i1 i1e
    laguerre_polynomial_l legendre_polynomial_p log1p log_ndtr log_softmax logit logsumexp
    modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 modified_bessel_k1 multigammaln ndtr ndtri
    polygamma psi round scaled_modified_bessel_k0 scaled_modified_bessel_k1 shifted_chebyshev_polynomial_t
    shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w sinc
    softmax spherical_bessel_j0 xlog1py xlogy zeta
"""

_EINOPS = "rearrange reduce repeat"

FUNCTIONS: dict[str, str] = {
    **_under("torch", _ELEMENTWISE),
    **_under("torch", _ARITHMETIC),
    **_under("torch", _COMPARISON),
    **_under("torch", _REDUCTION),
    **_under("torch", _SCAN),
    **_under("torch", _ORDER),
    **_under("torch", _SHAPE),
    **_under("torch", _JOIN_AND_SPLIT),
    **_under("torch", _INDEX),
    **_under("torch", _ALGEBRA),
    **_under("torch", _SIGNAL),
    **_under("torch", _NEW),
    **_under("torch", _NEW_LIKE),
    **_under("torch", _RANDOM),
    **_under("torch", _FACTS),
    **_under("torch.nn.functional", _ACTIVATION),
    **_under("torch.nn.functional", _LAYER_LIKE),
    **_under("torch.nn.functional", _POOLING),
    **_under("torch.nn.functional", _NORMALISATION),
    **_under("torch.nn.functional", _DROPOUT),
    **_under("torch.nn.functional", _VISION),
    **_under("torch.nn.functional", _DISTANCE),
    **_under("torch.nn.functional", _LOSS),
    **_under("torch.fft", _FFT, "fft."),
    **_under("torch.linalg", _LINALG, "linalg."),
    **_under("torch.special", _SPECIAL, "special."),
    **_under("einops", _EINOPS),
}
"""Spec name of an operation -> dotted path of the callable that it stands for."""

FACTORIES: frozenset[str] = frozenset(
    [*_NEW.split(), "rand", "randint", "randn", "randperm", "fft.fftfreq", "fft.rfftfreq"]
)
"""Operations that take ``device=`` and no tensor: they get the device of a block's inputs. (``normal`` is
none: with tensors for its mean it refuses a device.)"""

SCALAR_OPERATIONS: frozenset[str] = frozenset(
    """
    all amax amin aminmax any argmax argmin count_nonzero max mean median min nanmean nanmedian nansum norm
    prod std std_mean sum var var_mean linalg.norm linalg.vector_norm
    """.split()
)
"""Operations that make one number, or two, of a whole tensor where they are told no dimension."""

TRAINING = "training"
RATE = "dropout_p"
MODE_ARGUMENTS: dict[str, tuple[str, int]] = {
    **dict.fromkeys(_DROPOUT.split(), (TRAINING, 2)),
    "rrelu": (TRAINING, 3),
    "multi_head_attention_forward": (TRAINING, 13),
    "batch_norm": (TRAINING, 5),
    "scaled_dot_product_attention": (RATE, 4),
}
"""Operations that do one thing in training and another in evaluation, with the argument that says which, and its
position: they follow the mode of the module unless it is given. A ``dropout_p`` counts in training alone."""


class Statistics(NamedTuple):
    """What an operation changes: the arguments, with their positions, and the one that says whether it does."""

    arguments: dict[str, int]
    flag: tuple[str, int]


_RUNNING = {"running_mean": 1, "running_var": 2}
STATISTICS: dict[str, Statistics] = {
    "batch_norm": Statistics(_RUNNING, (TRAINING, 5)),
    "instance_norm": Statistics(_RUNNING, ("use_input_stats", 5)),
}
"""Operations that write into the running statistics that they are given: only buffers that are `updated` may be."""

LIST_FIRST: frozenset[str] = frozenset(
    """
    cat column_stack concat concatenate dstack hstack row_stack stack vstack linalg.multi_dot
    atleast_1d atleast_2d atleast_3d meshgrid
    """.split()
)
"""Operations whose first argument may be a list of tensors: ``combine: cat(dim=1)``."""

SPREAD_FIRST: frozenset[str] = frozenset("block_diag broadcast_tensors cartesian_prod".split())
"""Operations over many tensors that torch takes one by one and not as a list: ``block_diag(*values)``."""

FORBIDDEN_KEYWORDS: frozenset[str] = frozenset({"out", "inplace", "requires_grad", "generator", "pin_memory"})
"""Keywords that no operation and no method may be given: they write, or reach beyond a program's values."""

FORBIDDEN_ARGUMENTS: dict[str, frozenset[str]] = {
    "embedding": frozenset({"max_norm"}),
    "embedding_bag": frozenset({"max_norm"}),
}
"""Arguments that make one operation impure: with ``max_norm`` an embedding rewrites its own weight."""

_POLYNOMIALS = """
    chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
    hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p
    shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
    shifted_chebyshev_polynomial_w
"""

COSTLY: dict[str, dict[str, int]] = {
    "diff": {"n": 100},
    "svd_lowrank": {"niter": 100},
    "pca_lowrank": {"niter": 100},
    "tensor_split": {"sections": 10_000},
    "combinations": {"r": 8},
    "mvlgamma": {"p": 1_000},
    "special.multigammaln": {"p": 1_000},
    **{f"special.{name}": {"n": 1_000} for name in _POLYNOMIALS.split()},
}
"""Arguments whose value is a number of steps, each with the largest that it may be. Torch takes that many steps in
one call, which no clock ends; where the cost lies in the sizes of tensors, those are bounded."""

MOST_TENSORS: dict[str, int] = {"linalg.multi_dot": 100, "einsum": 100, "block_diag": 1_000}
"""How many tensors an operation may be given that takes more than a step for each."""

# --- tensor methods -------------------------------------------------------------------------------------

_METHOD_ELEMENTWISE = """
    abs absolute acos acosh add addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh
    asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
    bitwise_xor ceil clamp clamp_max clamp_min clip conj conj_physical copysign cos cosh deg2rad digamma
    div divide eq erf erfc erfinv exp exp2 expm1 fix float_power floor floor_divide fmax fmin fmod frac
    frexp gcd ge greater greater_equal gt hardshrink heaviside hypot i0 igamma igammac isclose isfinite
    isinf isnan isneginf isposinf isreal lcm ldexp le lerp less less_equal lgamma log log10 log1p log2
    logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logit lt maximum minimum mul
    multiply mvlgamma nan_to_num ne neg negative nextafter not_equal polygamma positive pow prelu rad2deg
    reciprocal relu remainder resolve_conj resolve_neg round rsqrt sgn sigmoid sign signbit sin sinc sinh
    sqrt square sub subtract tan tanh true_divide trunc where xlogy
"""

_METHOD_OVER_DIMENSIONS = """
    all amax amin aminmax any argmax argmin argsort bincount corrcoef count_nonzero cov cummax cummin
    cumprod cumsum diff dist histc histogram kthvalue log_softmax logcumsumexp logsumexp max mean median
    min mode msort nanmean nanmedian nanquantile nansum norm prod quantile renorm softmax sort std sum
    sum_to_size topk unique unique_consecutive var
"""

_METHOD_SHAPE = """
    adjoint as_strided broadcast_to chunk clone contiguous detach diag diag_embed diagflat diagonal dsplit
    expand expand_as flatten flip fliplr flipud hsplit moveaxis movedim narrow permute ravel repeat
    repeat_interleave reshape reshape_as roll rot90 split squeeze swapaxes swapdims t tensor_split tile
    transpose tril triu unbind unflatten unfold unsqueeze view view_as vsplit
"""

_METHOD_INDEX = """
    argwhere as_strided_scatter diagonal_scatter gather index_add index_copy index_fill index_put
    index_reduce index_select masked_fill masked_scatter masked_select nonzero nonzero_static put scatter
    scatter_add scatter_reduce select select_scatter slice_scatter take take_along_dim
"""

_METHOD_ALGEBRA = """
    addbmm addmm addmv addr baddbmm bmm cholesky_inverse cholesky_solve cross det dot geqrf inner inverse
    istft kron logdet matmul matrix_exp matrix_power mm mv orgqr ormqr outer pinverse slogdet stft trace
    vdot
"""

# `cpu` and `cuda` are not here: where a value lives is said by placement rules, or by `to(other)`.
_METHOD_CONVERSION = """
    bfloat16 bool byte cdouble cfloat chalf char double float half int long short to type type_as
"""

_METHOD_NEW = "new_full new_ones new_tensor new_zeros"

_METHOD_RANDOM = "bernoulli multinomial"

_METHOD_FACTS = """
    dim element_size is_complex is_conj is_contiguous is_floating_point is_signed ndimension nelement
    numel size stride
"""

METHODS: frozenset[str] = frozenset(
    _METHOD_ELEMENTWISE.split()
    + _METHOD_OVER_DIMENSIONS.split()
    + _METHOD_SHAPE.split()
    + _METHOD_INDEX.split()
    + _METHOD_ALGEBRA.split()
    + _METHOD_CONVERSION.split()
    + _METHOD_NEW.split()
    + _METHOD_RANDOM.split()
    + _METHOD_FACTS.split()
)
"""Tensor methods that a program may call."""

# --- what is read behind a dot --------------------------------------------------------------------------

ATTRIBUTES: frozenset[str] = frozenset("shape dtype device ndim T mT H mH real imag".split())
"""The attributes of a tensor that a program may read."""
VIEWS: frozenset[str] = frozenset("T mT H mH real imag".split())
"""Those that are tensors."""
RESULTS: tuple[str, ...] = tuple(
    """
    values indices min max sign logabsdet eigenvalues eigenvectors U S Vh Q R P L hist bin_edges mantissa
    exponent
    """.split()
)
"""The names that torch gives the parts of results: `topk(x, 2).indices`."""

# --- values ---------------------------------------------------------------------------------------------

_DTYPES = """
    bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64 float8_e4m3fn
    float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz complex32 complex64 complex128
"""

CONSTANTS: dict[str, str] = _under("torch", _DTYPES + " inf pi")
"""Names that a program may use as values -> dotted path. A dtype has its one full name: ``float`` is
left to the grammar of tensors, where it means the model's default."""

DTYPE_LIMITS: dict[str, str] = {"finfo": "torch.finfo", "iinfo": "torch.iinfo"}
"""What says the limits of a dtype -> dotted path: `finfo(x.dtype).max`."""
LIMITS: dict[str, frozenset[str]] = {
    "finfo": frozenset("bits eps max min resolution smallest_normal tiny".split()),
    "iinfo": frozenset("bits max min".split()),
}
"""What each of them says."""
