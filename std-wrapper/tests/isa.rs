//! `PERGRAD_ISA` pins the instruction set of a process, and a bad value is an error.

mod program;

use pergrad::{Error, Isa, Linear, Tensor, isa};
use program::this_program;

/// What must hold for this process' own environment; `pinned` runs it again under others.
#[test]
fn of_this_process() {
    let want = std::env::var("PERGRAD_ISA");
    match &want {
        Ok(name) if Isa::from_name(name).is_ok() => assert_eq!(isa().unwrap().name(), name),
        Ok(name) => {
            let Err(Error::PinnedIsa { value, available }) = isa() else {
                panic!("{name} was accepted");
            };
            assert_eq!(&value, name);
            assert!(available.starts_with("portable"));
            // Nothing computes with another one instead.
            let layer = Linear::<f32>::init(1, 1, true, 0).unwrap();
            assert_eq!(
                layer.forward(&Tensor::zeros(&[1, 1]).unwrap()).unwrap_err(),
                isa().unwrap_err()
            );
        }
        Err(_) => assert_eq!(isa().unwrap(), Isa::detect()),
    }
    println!("seen: {want:?}");
}

#[test]
fn pinned() {
    let names: Vec<_> = Isa::available().map(Isa::name).collect();
    for name in names.into_iter().chain(["", "AVX2", "nonsense"]) {
        let output = this_program()
            .args(["--exact", "of_this_process", "--nocapture"])
            .env("PERGRAD_ISA", name)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("seen: Ok({name:?})")), "{name} did not run: {text}");
    }
}
