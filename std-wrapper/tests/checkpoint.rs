//! Checkpoints: what goes in comes out, training goes on to the bit, and what does not fit is refused
//! whole.
#![cfg(feature = "checkpoint")]

mod common;

use common::{adam_configs, assert_params_bits, momentum_configs, rmsprop_configs, tensor};
use pergrad::{
    Adam, AdamConfig, AmsGrad, Checkpoint, Decay, Element, Epsilon, Error, LayerBatch,
    LayerOptimizer, Linear, Momentum, MomentumConfig, NonFinite, Optimizer, RmspropConfig, Rule,
    SecondMoment, Tensor, WarmUp, Window,
};

const OUTPUTS: usize = 5;
const INPUTS: usize = 9;

fn train<T: Element, R: Rule>(
    layer: &mut Linear<T>,
    optimizer: &mut LayerOptimizer<T, R>,
    steps: std::ops::Range<u64>,
) {
    for step in steps {
        let (x, dy) = (tensor(&[6, INPUTS], 2 * step), tensor(&[6, OUTPUTS], 2 * step + 1));
        optimizer.step_layer(layer, LayerBatch::new(&x, &dy)).unwrap();
    }
}

/// Trains for six steps, and for three, a file and three more.
fn resume<T: Element, R: Rule>(config: R) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.safetensors");
    for (bias, second, non_finite) in [
        (true, SecondMoment::GradSq, NonFinite::Propagate),
        (false, SecondMoment::SquaredGrad, NonFinite::Refuse),
    ] {
        let mut layer = Linear::<T>::init(OUTPUTS, INPUTS, bias, 3).unwrap();
        let mut optimizer = LayerOptimizer::new(config, &layer).unwrap();
        optimizer.set_second(second);
        optimizer.set_non_finite(non_finite);
        train(&mut layer, &mut optimizer, 0..3);
        let saved = Checkpoint::new().layer("l", &layer).unwrap();
        saved.optimizer("l", &optimizer).unwrap().save(&path).unwrap();
        train(&mut layer, &mut optimizer, 3..6);

        let loaded = Checkpoint::load(&path).unwrap();
        let mut again = loaded.read_layer("l").unwrap();
        let mut new = loaded.read_optimizer("l", &again).unwrap();
        train(&mut again, &mut new, 3..6);
        assert_params_bits("read", &again.clone().into_params(), &layer.clone().into_params());
        assert_eq!(new, optimizer);

        // Objects that have gone elsewhere since.
        loaded.restore().layer("l", &mut again).optimizer("l", &mut new).apply().unwrap();
        new.set_config(config.with_lr(1.0)).unwrap();
        new.set_non_finite(NonFinite::Propagate);
        loaded.restore().optimizer("l", &mut new).apply().unwrap();
        train(&mut again, &mut new, 3..6);
        assert_params_bits("restored", &again.into_params(), &layer.into_params());
        assert_eq!(new, optimizer);
        assert_eq!(new.weight().steps(), 6);
    }
}

#[test]
fn training_goes_on_to_the_bit() {
    for config in momentum_configs() {
        resume::<f32, _>(config);
        resume::<f64, _>(config);
    }
    for config in rmsprop_configs() {
        resume::<f32, _>(config);
        resume::<f64, _>(config);
    }
    for config in adam_configs() {
        resume::<f32, _>(config);
        resume::<f64, _>(config);
        resume::<f32, _>(config.at_batch_size(7));
    }
}

/// Every field of a configuration, with a value that it does not start with.
#[test]
fn configurations_are_exact() {
    fn same<R: Rule>(config: R) {
        let params = Tensor::<f64>::zeros(&[2]).unwrap();
        let optimizer = Optimizer::<f64, R>::new(config, &[2]).unwrap();
        let checkpoint = Checkpoint::new().optimizer("t", &optimizer).unwrap();
        let read: Optimizer<f64, R> = checkpoint.read_optimizer("t", &params).unwrap();
        assert_eq!(*read.config(), config);
    }
    let third = 1.0 / 3.0;
    let window = Window::new(1000.0 * third).unwrap().at_batch_size(13);
    let other = Window::from_beta(third).unwrap();
    for decay in [Decay::None, Decay::Coupled(third), Decay::Decoupled(1e-300)] {
        let mut c = MomentumConfig::torch(third, third).unwrap();
        (c.decay, c.maximize, c.dampening) = (decay, true, third);
        same(c);
        (c.dampening, c.nesterov) = (0.0, true);
        same(c);
        let mut c = MomentumConfig::new(third, window);
        c.warm_up = WarmUp::Debias;
        same(c);
        for epsilon in [
            Epsilon::Outside(third),
            Epsilon::Hat(f64::MIN_POSITIVE),
            Epsilon::Inside(1e300),
            Epsilon::Both { inside: third, outside: 0.0 },
        ] {
            let mut c = RmspropConfig::keras(third).unwrap();
            (c.window, c.momentum, c.centered, c.nesterov) = (window, Some(other), true, true);
            (c.decay, c.maximize, c.epsilon) = (decay, true, epsilon);
            (c.warm_up, c.initial_exp_avg_sq) = (WarmUp::Debias, -0.0);
            if c.step_coeffs::<f64>(1).is_ok() {
                same(c);
            }
            for amsgrad in [AmsGrad::Off, AmsGrad::Uncorrected, AmsGrad::Corrected] {
                let mut c = AdamConfig::new(third, window, other);
                (c.decay, c.maximize, c.epsilon, c.nesterov) = (decay, true, epsilon, true);
                (c.warm_up, c.amsgrad) = (WarmUp::None, amsgrad);
                if c.step_coeffs::<f64>(1).is_ok() {
                    same(c);
                }
            }
        }
    }
}

/// Any bits, any shape, and the metadata.
#[test]
fn all_bits_come_back() {
    let bits = [0, 1, 0x8000_0000, 0x7f80_0000, 0x7fc0_0001, 0xffff_ffff, 0x3f80_0000, 0x1234_5678];
    let odd = Tensor::from_fn(&[2, 4], |k| f32::from_bits(bits[k])).unwrap();
    let checkpoint = Checkpoint::new()
        .tensor("odd", &odd)
        .and_then(|c| c.tensor("", &odd).or(Checkpoint::new().tensor("odd", &odd)))
        .and_then(|c| c.tensor("none", &Tensor::<f64>::zeros(&[3, 0])?))
        .and_then(|c| c.tensor("one \"quoted\"\n\u{1F600}", &Tensor::<f64>::filled(&[], 2.5)?))
        .and_then(|c| c.note("what", "\u{e9}\"\\\u{0}"))
        .unwrap();
    let bytes = checkpoint.to_bytes().unwrap();
    assert_eq!(bytes, checkpoint.to_bytes().unwrap());
    let read = Checkpoint::from_bytes(&bytes).unwrap();
    assert_eq!(read, checkpoint);
    assert_eq!(read.to_bytes().unwrap(), bytes);
    let back = read.read_tensor::<f32>("odd").unwrap();
    assert_eq!(back.shape(), [2, 4]);
    assert!(back.as_slice().iter().zip(bits).all(|(v, bits)| v.to_bits() == bits));
    assert_eq!(read.read_tensor::<f64>("none").unwrap().shape(), [3, 0]);
    assert_eq!(read.metadata("what"), Some("\u{e9}\"\\\u{0}"));
}

/// The format's own library reads what is written here, and the other way round.
#[test]
fn the_format_is_that_of_the_library() {
    let layer = Linear::<f32>::init(OUTPUTS, INPUTS, true, 1).unwrap();
    let adam = LayerOptimizer::new(adam_configs()[1], &layer).unwrap();
    let checkpoint = Checkpoint::new().layer("l", &layer).unwrap().optimizer("l", &adam).unwrap();
    let bytes = checkpoint.tensor("t", &tensor::<f64>(&[3], 1)).unwrap().to_bytes().unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let start = theirs.iter().map(|(_, t)| t.data().as_ptr() as usize).min().unwrap();
    for (_, view) in theirs.iter() {
        let offset = view.data().as_ptr() as usize - start;
        assert_eq!(offset % (view.dtype().bitsize() / 8), 0, "aligned");
    }
    let mine = Checkpoint::from_bytes(&bytes).unwrap();
    assert!(mine.names().eq(theirs.names().into_iter().collect::<std::collections::BTreeSet<_>>()));
    let weight = theirs.tensor("l.weight").unwrap();
    assert_eq!(weight.shape(), [OUTPUTS, INPUTS]);
    let weight: Vec<_> =
        weight.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(weight, layer.weight().as_slice());

    let again = safetensors::serialize(theirs.tensors(), None).unwrap();
    let read = Checkpoint::from_bytes(&again).unwrap();
    assert_eq!(read.read_layer("l").unwrap(), layer);
    assert!(read.names().eq(mine.names()));
}

/// `refuse` must be refused with a text that has all of `parts`.
#[track_caller]
fn says(refused: Result<(), Error>, parts: &[&str]) {
    let text = refused.unwrap_err().to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_whole() {
    let layer = Linear::<f32>::init(OUTPUTS, INPUTS, true, 1).unwrap();
    let small = Linear::<f32>::init(OUTPUTS, INPUTS - 1, true, 1).unwrap();
    let double = Linear::<f64>::init(OUTPUTS, INPUTS, true, 1).unwrap();
    let bare = Linear::<f32>::init(OUTPUTS, INPUTS, false, 1).unwrap();
    let mut amsgrad = AdamConfig::torch(0.1).unwrap();
    amsgrad.amsgrad = AmsGrad::Uncorrected;
    let adam = LayerOptimizer::new(amsgrad, &layer).unwrap();
    let rmsprop = LayerOptimizer::new(rmsprop_configs()[0], &layer).unwrap();
    let good = Checkpoint::new().layer("a", &layer).unwrap().optimizer("a", &adam).unwrap();
    let with = |f: &dyn Fn(Checkpoint) -> Result<Checkpoint, Error>| f(Checkpoint::new()).unwrap();

    let check = |checkpoint: &Checkpoint, parts: &[&str]| {
        let mut mine = Linear::<f32>::init(OUTPUTS, INPUTS, true, 2).unwrap();
        let mut other = mine.clone();
        let mut optimizer = LayerOptimizer::new(AdamConfig::torch(0.5).unwrap(), &mine).unwrap();
        train(&mut mine, &mut optimizer, 0..1);
        let before = (mine.clone(), other.clone(), optimizer.clone());
        // What can be restored comes first and last.
        let all = good.restore().layer("a", &mut other);
        all.apply().unwrap();
        other = before.1.clone();
        let both = checkpoint.restore().layer("a", &mut mine).optimizer("a", &mut optimizer);
        says(both.layer("a", &mut other).apply(), parts);
        assert_eq!((mine, other, optimizer), before);
    };
    let of = |l: &Linear<f32>, o: &dyn Fn(Checkpoint) -> Result<Checkpoint, Error>| {
        with(&|c| o(c.layer("a", l)?))
    };
    let adam_of = |l: &Linear<f32>| LayerOptimizer::new(amsgrad, l).unwrap();
    check(&Checkpoint::new(), &["`a.weight`", "missing", "no tensors"]);
    check(&of(&layer, &Ok), &["`optimizer.a.weight.step`", "missing", "a.bias, a.weight"]);
    check(&of(&small, &|c| c.optimizer("a", &adam)), &["`a.weight`", "F32 [5, 8]", "F32 [5, 9]"]);
    let e = ["`optimizer.a.weight.exp_avg`", "F32 [5, 8]", "F32 [5, 9]"];
    check(&of(&layer, &|c| c.optimizer("a", &adam_of(&small))), &e);
    check(&with(&|c| c.layer("a", &double)), &["`a.weight`", "F64 [5, 9]", "F32 [5, 9]"]);
    check(&of(&bare, &|c| c.optimizer("a", &adam)), &["`a.bias`", "missing"]);
    let e = ["`optimizer.a.bias.step`", "missing", "a.bias, a.weight"];
    check(&of(&layer, &|c| c.optimizer("a", &adam_of(&bare))), &e);
    let e = ["`optimizer.a.weight.kind`", "\"rmsprop\"", "\"adam\""];
    check(&of(&layer, &|c| c.optimizer("a", &rmsprop)), &e);

    // A layer without a bias does not lose one in silence.
    let mut mine = bare.clone();
    says(good.restore().layer("a", &mut mine).apply(), &["`a.bias`", "the layer has no bias"]);
    let mut optimizer = LayerOptimizer::new(amsgrad, &bare).unwrap();
    let e = ["`optimizer.a.bias.exp_avg`", "the layer has no bias"];
    says(good.restore().optimizer("a", &mut optimizer).apply(), &e);
    assert_eq!((mine, optimizer), (bare.clone(), LayerOptimizer::new(amsgrad, &bare).unwrap()));
}

/// An optimizer `t` of one tensor of two elements, less or more than some entries.
fn edited(settings: &[(&str, &str)], tensors: &[(&str, Tensor<f64>)]) -> Checkpoint {
    let adam = Adam::<f64>::new(AdamConfig::torch(0.1).unwrap(), &[2]).unwrap();
    let whole = Checkpoint::new().optimizer("t", &adam).unwrap();
    let mut checkpoint = Checkpoint::new();
    for name in [
        "kind",
        "lr",
        "alpha",
        "alpha_sq",
        "warm_up",
        "epsilon",
        "amsgrad",
        "nesterov",
        "decay",
        "maximize",
        "non_finite",
    ] {
        let text = whole.metadata(&format!("optimizer.t.{name}")).unwrap();
        let text = settings.iter().find(|(n, _)| *n == name).map_or(text, |(_, text)| text);
        if text != "LEFT OUT" {
            checkpoint = checkpoint.note(&format!("optimizer.t.{name}"), text).unwrap();
        }
    }
    let zeros = Tensor::zeros(&[2]).unwrap();
    for name in ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"] {
        let mut tensor = Some(match name {
            "step" => Tensor::filled(&[], 3.0).unwrap(),
            _ => zeros.clone(),
        })
        .filter(|_| !name.starts_with('m'));
        if let Some((_, given)) = tensors.iter().find(|(n, _)| *n == name) {
            tensor = Some(given.clone());
        }
        if let Some(tensor) = tensor {
            checkpoint = checkpoint.tensor(&format!("optimizer.t.{name}"), &tensor).unwrap();
        }
    }
    checkpoint
}

#[test]
fn senseless_settings_are_refused() {
    let params = Tensor::zeros(&[2]).unwrap();
    let read = |c: &Checkpoint| c.read_optimizer::<Adam<f64>>("t", &params);
    assert_eq!(read(&edited(&[], &[])).unwrap().steps(), 3);
    let setting = |name: &str, text: &str, parts: &[&str]| {
        let checkpoint = edited(&[(name, text)], &[]);
        says(read(&checkpoint).map(drop), &[&["optimizer.t"], parts].concat());
        let mut mine = Adam::<f64>::new(AdamConfig::torch(0.5).unwrap(), &[2]).unwrap();
        let before = mine.clone();
        if text != "LEFT OUT" || name != "kind" {
            says(checkpoint.restore().optimizer("t", &mut mine).apply(), parts);
        }
        assert_eq!(mine, before);
    };
    setting("kind", "LEFT OUT", &["kind`", "missing", "\"adam\""]);
    setting("lr", "LEFT OUT", &["lr`", "missing"]);
    setting("lr", "fast", &["lr`", "\"fast\"", "a number"]);
    setting("lr", "NaN", &["lr`", "NaN"]);
    setting("lr", "-1", &["lr`", "-1"]);
    setting("alpha", "-0.5", &["alpha`", "\"-0.5\"", "more than 0"]);
    setting("alpha_sq", "NaN", &["alpha_sq`", "\"NaN\""]);
    setting("alpha_sq", "0", &["alpha_sq`"]);
    setting("warm_up", "sometimes", &["warm_up`", "\"sometimes\"", "none, exact_mean, debias"]);
    setting("epsilon", "outside", &["epsilon`", "\"outside\"", "NUMBER"]);
    setting("epsilon", "outside -1", &["epsilon`", "-1"]);
    setting("decay", "coupled inf", &["weight_decay`", "inf"]);
    setting("amsgrad", "true", &["amsgrad`", "off, uncorrected, corrected"]);
    setting("amsgrad", "corrected", &["max_exp_avg_sq`", "missing"]);
    setting("maximize", "no", &["maximize`", "true, false"]);
    setting("non_finite", "", &["non_finite`", "propagate, refuse"]);

    let tensor = |name: &str, tensor: Tensor<f64>, parts: &[&str]| {
        says(read(&edited(&[], &[(name, tensor)])).map(drop), &[&["optimizer.t"], parts].concat());
    };
    for bad in [f64::NAN, -1.0, 0.5, f64::INFINITY, 1.85e19] {
        tensor("step", Tensor::filled(&[], bad).unwrap(), &["step`", &bad.to_string(), "whole"]);
    }
    tensor("step", Tensor::zeros(&[2]).unwrap(), &["step`", "F64 [2]", "one number"]);
    tensor("step", Tensor::zeros(&[0]).unwrap(), &["step`", "F64 [0]", "one number"]);
    tensor("momentum_buffer", params.clone(), &["momentum_buffer`", "keeps no such array"]);
    tensor("exp_avg", Tensor::zeros(&[3]).unwrap(), &["exp_avg`", "F64 [3]", "F64 [2]"]);
    let most = 18_446_744_073_709_549_568.0; // the last float before 2^64
    let steps = [(0.0, 0), (9_007_199_254_740_992.0, 1 << 53), (most, u64::MAX - 2047)];
    for (float, steps) in steps {
        let step = Tensor::filled(&[1], float).unwrap();
        assert_eq!(read(&edited(&[], &[("step", step)])).unwrap().steps(), steps);
    }
}

#[test]
fn names_are_taken_once() {
    let sgd = Momentum::<f32>::new(momentum_configs()[0], &[2]).unwrap();
    let checkpoint = || Checkpoint::new().optimizer("t", &sgd).unwrap().note("n", "1").unwrap();
    says(checkpoint().optimizer("t", &sgd).map(drop), &["`optimizer.t.step`", "once"]);
    says(checkpoint().note("n", "2").map(drop), &["`n`", "\"1\"", "once"]);
    says(checkpoint().note("pergrad.crc32", "2").map(drop), &["`pergrad.crc32`"]);
    says(checkpoint().note("optimizer.t.lr", "2").map(drop), &["`optimizer.t.lr`"]);
    let zeros = Tensor::<f32>::zeros(&[1]).unwrap();
    says(checkpoint().tensor("__metadata__", &zeros).map(drop), &["`__metadata__`"]);
    says(checkpoint().tensor("", &zeros).map(drop), &["``"]);
}

/// A checkpoint replaces a file, leaves nothing beside it, and says which file it was about.
#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let checkpoint = |value| Checkpoint::new().tensor("t", &Tensor::filled(&[5], value)?);
    for value in [1.0f32, 2.0] {
        let saved = checkpoint(value).unwrap();
        saved.save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap(), saved);
        assert_eq!(std::fs::read(&path).unwrap(), saved.to_bytes().unwrap());
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
    std::fs::write(&path, "no checkpoint").unwrap();
    let e = Checkpoint::load(&path).unwrap_err();
    assert!(e.to_string().contains("net.safetensors: the header claims"), "{e}");
    let missing = folder.path().join("no/such/folder/net.safetensors");
    let e = checkpoint(1.0).unwrap().save(&missing).unwrap_err();
    assert!(matches!(e, Error::File { kind: std::io::ErrorKind::NotFound, .. }), "{e}");
    assert!(matches!(checkpoint(1.0).unwrap().save("/"), Err(Error::File { .. })));
    // A folder cannot be replaced; the temporary file is gone again.
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("file"), "").unwrap();
    assert!(matches!(checkpoint(1.0).unwrap().save(&inside), Err(Error::File { .. })));
    let hidden = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().starts_with('.')
    };
    assert!(!std::fs::read_dir(&folder).unwrap().any(hidden));
}
