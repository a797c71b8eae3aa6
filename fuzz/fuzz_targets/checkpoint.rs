//! Checkpoints of any bytes, and of valid files that were damaged: an error or a valid object, no panic,
//! no memory out of proportion. What is taken, the format's own library takes too; what was loaded saves
//! and loads again, and what is restored is restored whole.
#![no_main]
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pergrad::{
    Adam, Checkpoint, Error, LayerOptimizer, Linear, Momentum, NonFinite, Rmsprop, Rule,
    SecondMoment, Tensor,
};
use pergrad_fuzz::Source;
use pergrad_fuzz::support::optimizers::Config;
use pergrad_fuzz::support::values::Real;
use safetensors::SafeTensors;

/// Counts the bytes in use, and the most there were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands every call on, as it came, to an allocator that keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: by contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: by contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most memory in use while `f` ran, above what was in use before.
fn most<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    let result = f();
    (result, MOST.load(Relaxed).saturating_sub(before))
}

/// Loads, and all that may be asked of what was loaded.
fn load<T: Real>(bytes: &[u8]) {
    let (loaded, used) = most(|| Checkpoint::from_bytes(bytes));
    // A tensor of 50 bytes in the header, a note of 6, an extent of 2: some 30 times as much here.
    assert!(used <= 64 * bytes.len() + (16 << 10), "{used} bytes for {}", bytes.len());
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(e) => {
            assert!(matches!(e, Error::Checkpoint { .. }), "{e}");
            return;
        }
    };
    SafeTensors::deserialize(bytes).expect("no stranger than the format");
    let saved = loaded.to_bytes().expect("memory");
    assert_eq!(Checkpoint::from_bytes(&saved).expect("as it was saved"), loaded);
    assert_eq!(loaded.to_bytes().expect("memory"), saved);
    for name in loaded.names() {
        let (read, used) = most(|| loaded.read_tensor::<T>(name));
        assert!(used <= 64 * bytes.len() + (16 << 10), "{used} bytes for {name:?}");
        if let Ok(tensor) = read {
            assert_eq!(tensor.shape().iter().product::<usize>(), tensor.len());
        }
    }
    let _ = loaded.read_layer::<T>("l");
}

/// Restores a layer and its optimizer, both or none, and a new one of the same is the same.
fn restore<T: Real, R: Rule>(loaded: &Checkpoint, config: R, [j, i]: [usize; 2], bias: bool) {
    let mut layer = Linear::<T>::init(j, i, bias, 1).expect("a small layer");
    let Ok(mut optimizer) = LayerOptimizer::new(config, &layer) else { return };
    // Not what is in any file.
    optimizer.set_second(SecondMoment::SquaredGrad);
    optimizer.set_non_finite(NonFinite::Refuse);
    let before = (layer.clone(), optimizer.clone());
    let both = loaded.restore().layer("l", &mut layer).optimizer("l", &mut optimizer);
    match both.apply() {
        Err(_) => assert!((layer, optimizer) == before),
        Ok(()) => {
            let again =
                Checkpoint::new().layer("l", &layer).and_then(|c| c.optimizer("l", &optimizer));
            let again = again.expect("new names");
            let read: LayerOptimizer<T, R> =
                again.read_optimizer("l", &layer).expect("as it was saved");
            let third = Checkpoint::new().layer("l", &layer).and_then(|c| c.optimizer("l", &read));
            // By bits, since a NaN differs from itself.
            assert_eq!(third.expect("new names"), again);
        }
    }
    let _ = loaded.read_optimizer::<Adam<T>>("l.weight", &Tensor::zeros(&[j, i]).expect("small"));
    let _ =
        loaded.read_optimizer::<Momentum<T>>("l.weight", &Tensor::zeros(&[j, i]).expect("small"));
    let _ =
        loaded.read_optimizer::<Rmsprop<T>>("l.weight", &Tensor::zeros(&[j, i]).expect("small"));
}

fn restore_any<T: Real>(loaded: &Checkpoint, config: &Config, shape: [usize; 2], bias: bool) {
    match *config {
        Config::Momentum(c) => restore::<T, _>(loaded, c, shape, bias),
        Config::Rmsprop(c) => restore::<T, _>(loaded, c, shape, bias),
        Config::Adam(c) => restore::<T, _>(loaded, c, shape, bias),
    }
}

/// A file of a layer and an optimizer with any configuration.
fn file<T: Real, R: Rule>(
    s: &mut Source<'_>,
    config: R,
    shape: [usize; 2],
    bias: bool,
) -> Option<Vec<u8>> {
    let [j, i] = shape;
    let weight = Tensor::from_vec(&shape, s.values::<T>(j * i)).expect("of that shape");
    let bias = bias.then(|| Tensor::from_vec(&[j], s.values(j)).expect("of that shape"));
    let layer = Linear::new(weight, bias).expect("a layer");
    let optimizer = LayerOptimizer::new(config, &layer).ok()?;
    let saved = Checkpoint::new().layer("l", &layer).and_then(|c| c.optimizer("l", &optimizer));
    let saved = saved.expect("new names");
    let bytes = saved.to_bytes().expect("memory");
    assert_eq!(Checkpoint::from_bytes(&bytes).expect("as it was saved"), saved);
    let read: LayerOptimizer<T, R> = saved.read_optimizer("l", &layer).expect("as it was saved");
    assert_eq!(read.config(), optimizer.config());
    Some(bytes)
}

/// Gives the two entries of a file about itself, between which damage is found, other names.
fn without_checksum(bytes: &mut [u8]) {
    let name = b"\"pergrad.";
    while let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
        bytes[at + 1] = b'P';
    }
}

fn check<T: Real>(s: &mut Source<'_>) {
    if s.flag() {
        let bytes = s.rest();
        load::<T>(bytes);
        if let Ok(loaded) = Checkpoint::from_bytes(bytes) {
            let adam = pergrad::AdamConfig::torch(0.1).expect("constants");
            restore::<T, _>(&loaded, adam, [2, 3], true);
        }
        return;
    }
    let (config, _) = s.config();
    let (shape, bias) = ([s.upto(3), s.upto(3)], s.flag());
    let bytes = match config {
        Config::Momentum(c) => file::<T, _>(s, c, shape, bias),
        Config::Rmsprop(c) => file::<T, _>(s, c, shape, bias),
        Config::Adam(c) => file::<T, _>(s, c, shape, bias),
    };
    let Some(mut bytes) = bytes else { return };
    if s.flag() {
        without_checksum(&mut bytes);
    }
    for _ in 0..s.upto(3) {
        let Some(last) = bytes.len().checked_sub(1) else { break };
        let at = s.upto(last.min(usize::from(u16::MAX) - 1));
        match s.upto(3) {
            0 => bytes[at] = s.any(),
            1 => bytes[at] ^= 1 << s.upto(7),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at + 1),
        }
    }
    load::<T>(&bytes);
    if let Ok(loaded) = Checkpoint::from_bytes(&bytes) {
        // Into an object of the same shape and configuration, or of another.
        let other = if s.flag() { s.config().0 } else { config };
        let shape = if s.upto(7) == 7 { [s.upto(3), s.upto(3)] } else { shape };
        restore_any::<T>(&loaded, &other, shape, if s.upto(7) == 7 { s.flag() } else { bias });
    }
}
pergrad_fuzz::fuzz_both_types!(check);
