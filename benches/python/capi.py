"""The C library by ctypes: as much of pergrad.h as the benches call, in f32."""

import ctypes
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double, c_float, c_int32
from ctypes import c_size_t, c_uint32, c_uint64
from functools import partial

FRESH = c_int32(0)
GRAD_SQ, SQUARED_GRAD = 0, 1
WEIGHT = c_int32(0)
PROPAGATE = c_int32(0)

FLOATS = POINTER(c_float)


class Info(Structure):
    _fields_ = [("arg", c_char * 32), ("needed", c_char * 80), ("got", c_size_t), ("need", c_size_t),
                ("index", c_size_t), ("value", c_double)]


class Window(Structure):
    _fields_ = [("by", c_int32), ("value", c_double)]


class Epsilon(Structure):
    _fields_ = [("inside", c_double), ("outside", c_double), ("hat", c_bool)]


class Decay(Structure):
    _fields_ = [("kind", c_int32), ("value", c_double)]


class AdamConfig(Structure):
    _fields_ = [("lr", c_double), ("window", Window), ("window_sq", Window), ("warm_up", c_int32),
                ("amsgrad", c_int32), ("epsilon", Epsilon), ("decay", Decay), ("nesterov", c_bool),
                ("maximize", c_bool), ("at_batch_size", c_size_t)]


class AdamCoeffs(Structure):
    _fields_ = [("made", c_uint32), ("opaque", c_float * 12)]


class AdamState(Structure):
    _fields_ = [("exp_avg", FLOATS), ("exp_avg_len", c_size_t),
                ("exp_avg_sq", FLOATS), ("exp_avg_sq_len", c_size_t),
                ("max_exp_avg_sq", FLOATS), ("max_exp_avg_sq_len", c_size_t)]


class Dims(Structure):
    _fields_ = [("batch", c_size_t), ("steps", c_size_t), ("outputs", c_size_t), ("inputs", c_size_t)]


class Batch(Structure):
    _fields_ = [("dims", Dims), ("x", FLOATS), ("x_len", c_size_t), ("dy", FLOATS),
                ("dy_len", c_size_t), ("example_weights", FLOATS), ("example_weights_len", c_size_t)]


class LayerStep(Structure):
    _fields_ = [("batch", Batch), ("scale", c_double), ("second_moment", c_int32),
                ("non_finite", c_int32)]


ISA, START, ARRAY = [c_int32], [c_int32], [FLOATS, c_size_t]
# Every function that fails ends with where to put the reason.
FUNCTIONS = {
    "pergrad_adam_torch": [c_double, POINTER(AdamConfig)],
    "pergrad_adam_step_coeffs_f32": [POINTER(AdamConfig), c_uint64, POINTER(AdamCoeffs)],
    "pergrad_forward_f32": ISA + [POINTER(Dims)] + 3 * ARRAY + START + ARRAY,
    "pergrad_input_grad_f32": ISA + [POINTER(Dims)] + 2 * ARRAY + START + ARRAY,
    "pergrad_per_example_grad_f32": ISA + [POINTER(Batch)] + ARRAY,
    "pergrad_reduce_f32": ISA + ARRAY + [c_size_t] + START + [c_double] + 2 * ARRAY,
    "pergrad_grad_f32": ISA + [POINTER(Batch)] + START + [c_double] + 2 * ARRAY,
    "pergrad_moments_f32": ISA + [POINTER(Batch)] + START + [c_double] + 3 * ARRAY,
    "pergrad_sq_norms_f32": ISA + [POINTER(Batch)] + START + ARRAY,
    "pergrad_step_adam_f32": ISA + [POINTER(LayerStep), c_int32, POINTER(AdamCoeffs)] + ARRAY
                             + [POINTER(AdamState)] + ARRAY,
    "pergrad_update_adam_f32": ISA + [POINTER(AdamCoeffs)] + 3 * ARRAY + [POINTER(AdamState), c_int32],
}


def array(a):
    """Pointer and length of an array of NumPy, or of none. Whoever calls keeps the array alive."""
    if a is None:
        return [FLOATS(), 0]
    assert a.dtype == "f4" and a.flags.c_contiguous, "pergrad takes dense arrays of f32"
    return [a.ctypes.data_as(FLOATS), a.size]


class Library:
    """libpergrad, on one instruction set: "best", "portable", "avx2" or "avx512"."""

    def __init__(self, path, isa="best"):
        self.library = ctypes.CDLL(str(path))
        for name in ["pergrad_version", "pergrad_isa_name", "pergrad_error_message"]:
            getattr(self.library, name).restype = c_char_p
        self.library.pergrad_scratch_len.restype = c_size_t
        self.library.pergrad_scratch_len.argtypes = [Dims]
        self.library.pergrad_isa_available.restype = c_bool
        self.info = Info()

        names = {self.library.pergrad_isa_name(number).decode(): number for number in range(4)}
        if isa not in names or not self.library.pergrad_isa_available(names[isa]):
            raise SystemExit(f"no instruction set {isa!r} here; pergrad knows {', '.join(names)}")
        number = names[isa] or self.library.pergrad_isa_detect()
        self.isa = c_int32(number)
        self.isa_name = self.library.pergrad_isa_name(number).decode()
        self.version = self.library.pergrad_version().decode()

    def call(self, name, *args):
        """A call with nothing left to prepare: a function that returns 0, or an error's number.

        The arguments get their types here, once. With `argtypes` ctypes would look at all of them in
        each call again, and a call would take 1.2 us instead of 0.5.
        """
        ready = [as_argument(a, kind) for a, kind in zip(args, FUNCTIONS[name], strict=True)]
        return partial(getattr(self.library, name), *ready, byref(self.info))

    def now(self, name, *args):
        """Calls once."""
        self.checked(self.call(name, *args)())

    def checked(self, code):
        if code:
            what = self.library.pergrad_error_message(code).decode()
            info = self.info
            raise RuntimeError(f"{what}: {info.arg.decode()} {info.needed.decode()} "
                               f"(got {info.got}, need {info.need}, value {info.value})")

    def scratch_len(self, dims):
        return self.library.pergrad_scratch_len(dims)


def as_argument(value, kind):
    """As an object of ctypes that is of this kind, or points to such a structure."""
    if isinstance(value, Structure):
        assert issubclass(kind, ctypes._Pointer) and isinstance(value, kind._type_), (value, kind)
        return byref(value)
    return value if isinstance(value, kind) else kind(value)
