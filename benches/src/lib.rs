//! What the benches of pergrad share: data, shapes, peers, limits, and the way a contestant is
//! checked before it is timed.
//!
//! # Names
//! A bench is `group/contestant/case`, for example `moments/avx512/f32_128x512x512`:
//! * the group is the kernel;
//! * the contestant is an instruction set's name for pergrad (`portable`, `avx2`, `avx512`),
//!   `limit_<limit>_<isa>` for what the hardware allows (the same number of operations or bytes and
//!   nothing else), `own_<what>_<isa>` for another way that pergrad itself offers, and anything else is
//!   a peer;
//! * the case is the element type and the shape, `BxJxI` or `BxTxJxI`, or a number of elements.
//!
//! `cargo bench -p pergrad-bench --bench moments -- 'moments/.*avx512'` runs pergrad's AVX-512 and the
//! limit it is held against (with `PERGRAD_BENCH_CLOCK=cpu` in processor time, for a busy machine);
//! `cargo bench -p pergrad-bench -- --test` runs everything once, on small
//! shapes; `cargo run --release -p pergrad-bench --bin report` turns the results into ratios.
//!
//! Peers in Python (PyTorch, JAX with optax, NumPy, BackPACK, Opacus, on request DeepSpeed) stand beside
//! the C face in `python/`: `benches/python/run` installs them and prints its own table; `--quick` runs
//! everything once, on small shapes.

pub mod buf;
pub mod case;
pub mod clock;
#[cfg(feature = "heavy-peers")]
pub mod heavy;
pub mod layer;
pub mod limits;
pub mod moments;
pub mod plain;
pub mod product;
pub mod real;
pub mod report;
pub mod step;
pub mod update;
