"""The C library as an extension module, which cffi makes of pergrad.h: all of its functions, structures and
constants, and steps of Adam at a time in one call, which is how bindings of other libraries have them."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from functools import partial

import cffi


def declarations(header):
    """What pergrad.h declares, without comments and with nothing left for a preprocessor."""
    text = re.sub(r"^#include.*", "", header.read_text(), flags=re.M)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    return subprocess.run([*compiler, "-E", "-P", "-std=c11", "-x", "c", "-"], input=text, text=True,
                          stdout=subprocess.PIPE, check=True).stdout


def at_time(name, declared):
    """Declaration and definition of a function as `name`, but with a time and a configuration instead of
    coefficients, which the caller would otherwise ask for in a call of its own."""
    parameters = re.search(rf"\b{name}\(([^)]*)\)", declared)[1].split(",")
    arguments = [re.search(r"\w+$", p)[0] for p in parameters]
    others = ",".join(p for p in parameters if not p.endswith("*coeffs"))
    arguments = ", ".join("&coeffs" if a == "coeffs" else a for a in arguments)
    head = f"pergrad_error {name}_at(uint64_t t, const pergrad_adam_config *config, {others})"
    return f"{head};\n", f"""
static {head} {{
    pergrad_adam_coeffs_f32 coeffs;
    pergrad_error error = pergrad_adam_step_coeffs_f32(config, t, &coeffs, info);
    return error ? error : {name}({arguments});
}}
"""


def extension(prefix, folder):
    """The module, compiled into this folder, of the library that is installed under `prefix`."""
    declared = declarations(prefix / "include/pergrad.h")
    steps = [at_time(f"pergrad_{what}_adam_f32", declared) for what in ["step", "update"]]
    heads, bodies = map("".join, zip(*steps))
    library = str(prefix / "lib")
    ffi = cffi.FFI()
    ffi.cdef(declared + heads)
    ffi.set_source("pergrad_by_cffi", "#include <pergrad.h>\n" + bodies, libraries=["pergrad"],
                   include_dirs=[str(prefix / "include")], library_dirs=[library],
                   runtime_library_dirs=[library])
    ffi.compile(tmpdir=str(folder))
    sys.path.insert(0, str(folder))
    return importlib.import_module("pergrad_by_cffi")


class Library:
    """libpergrad, on one instruction set: "best", "portable", "avx2" or "avx512"."""

    def __init__(self, prefix, folder, isa="best"):
        module = extension(prefix, folder)
        self.ffi, self.c = module.ffi, module.lib
        self.info = self.ffi.new("pergrad_error_info *")

        numbers = range(self.c.PERGRAD_ISA_BEST, self.c.PERGRAD_ISA_AVX512 + 1)
        names = {self.string(self.c.pergrad_isa_name(number)): number for number in numbers}
        if isa not in names or not self.c.pergrad_isa_available(names[isa]):
            raise SystemExit(f"no instruction set {isa!r} here; pergrad knows {', '.join(names)}")
        self.isa = names[isa] or self.c.pergrad_isa_detect()
        self.isa_name = self.string(self.c.pergrad_isa_name(self.isa))
        self.version = self.string(self.c.pergrad_version())

    def string(self, chars):
        return self.ffi.string(chars).decode()

    def array(self, a):
        """Pointer and length of an array of NumPy, or of none. Whoever puts the pointer into a structure
        keeps the array alive."""
        if a is None:
            return [self.ffi.NULL, 0]
        assert a.dtype == "f4" and a.flags.c_contiguous, "pergrad takes dense arrays of f32"
        return [self.ffi.from_buffer("float[]", a), a.size]

    def struct(self, name, *fields):
        """A pointer to a structure with these fields, in order."""
        return self.ffi.new(f"pergrad_{name} *", fields)

    def call(self, name, *args):
        """A call with nothing left to prepare: a function that returns 0, or an error's number."""
        return partial(getattr(self.c, f"pergrad_{name}"), *args, self.info)

    def checked(self, code):
        if code:
            what, info = self.string(self.c.pergrad_error_message(code)), self.info
            raise RuntimeError(f"{what}: {self.string(info.arg)} {self.string(info.needed)} "
                               f"(got {info.got}, need {info.need}, value {info.value})")
