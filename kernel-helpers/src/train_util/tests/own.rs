//! Runs with methods of one's own: they are trained, resumed, saved and told apart like those that are built in.

use super::*;
use crate::prune::{Criterion, Granularity, LayerToPrune, SparsitySchedule};
use crate::quant::{Codebook, Lsq, PerChannel, Quantizer, straight_through};

/// A quantizer of one's own with a learned parameter: the sign, with a scale that is trained.
struct ScaledSign {
    start: f32,
}

impl Quantizer for ScaledSign {
    fn quantize(&self, weight: &Tensor, parameters: &[Tensor]) -> Result<Tensor> {
        Ok(straight_through(weight, &weight.sign()?)?.broadcast_mul(&parameters[0])?)
    }
    fn parameters(&self, _weight: &Tensor) -> Result<Vec<(String, Tensor)>> {
        Ok(vec![("scale".to_owned(), Tensor::new(&[self.start], &Device::Cpu)?)])
    }
    fn description(&self) -> String {
        format!("sign with a learned scale from {}", self.start)
    }
}

/// What a network, a run and its configuration leave if it is undisturbed, and if it is interrupted in every epoch.
fn check_resuming(new: impl Fn() -> TestNet, run: impl Fn(&TestNet, &TrainConfig) -> Result<History>) {
    let folder = tempfile::tempdir().unwrap();
    let [undisturbed, files] = ["undisturbed", "interrupted"]
        .map(|name| RunFiles::of(folder.path().join(format!("{name}.safetensors"))));
    let expected = run(&new(), &config(undisturbed.weights())).unwrap();
    for steps in [1, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, 4] {
        let net = TestNet { steps_allowed: steps, ..new() };
        run(&net, &config(files.weights())).unwrap_err();
    }
    let net = new();
    assert_eq!(run(&net, &config(files.weights())).unwrap(), expected);
    assert!(net.steps.get() < EPOCHS * STEPS_PER_EPOCH, "it was resumed");
    assert_eq!(read(files.weights()), read(undisturbed.weights()));
    let [record, undisturbed] = [files, undisturbed].map(|files| RunRecord::load(files.record()).unwrap());
    assert_eq!(record.last_state_sha256, undisturbed.last_state_sha256);
    let (tested, best) = (test(&net, &data()).unwrap(), expected.best().unwrap());
    assert_eq!((tested.accuracy, tested.loss), (best.test_accuracy, best.test_loss), "as it was packed");
}

#[test]
fn a_quantizer_of_ones_own_is_trained_saved_and_resumed() {
    check_resuming(
        || TestNet::quantized(ScaledSign { start: 0.1 }),
        |net, config| train(net, &data(), config),
    );
    let net = TestNet::quantized(ScaledSign { start: 0.1 });
    train(&net, &data(), &TrainConfig { save_to: None, ..config(Path::new("")) }).unwrap();
    let (name, scale) = net.named_parameters().swap_remove(1);
    assert_eq!(name, "conv.weight_scale");
    assert_ne!(scale.to_vec1::<f32>().unwrap(), [0.1], "the scale is trained");
    assert!(net.summary().to_string().contains("sign with a learned scale from 0.1"));
}

#[test]
fn the_built_in_quantizers_are_trained_saved_and_resumed() {
    let quantizations: [Quantization; 3] = [
        Lsq { n_bits: 3 }.into(),
        Codebook { values: 8 }.into(),
        PerChannel(Ste { n_bits: Some(3), symmetric: true }).into(),
    ];
    for quantization in quantizations {
        let new = || TestNet::quantized(quantization.clone());
        check_resuming(new, |net, config| {
            crate::prune::prune_layers(net, 0.5)?;
            finetune(net, &data(), &TrainConfig { keep_zeros: true, ..config.clone() })
        });
    }
}

#[test]
fn runs_of_other_quantizers_are_other_runs() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("net.safetensors"));
    let identity = |start| {
        let net = TestNet { description: Some(String::new()), ..TestNet::quantized(ScaledSign { start }) };
        RunIdentity::of(Procedure::Train, &net, &data(), &config).unwrap().unwrap()
    };
    let differences = identity(0.2).differences(&identity(0.1)).join("; ");
    assert!(differences.contains("sign with a learned scale from 0.1 there"), "{differences}");
}

/// A criterion, a granularity and a schedule of one's own: the weights that shrink, by rows of the kernel, half at once.
struct Shrinking;

impl Criterion for Shrinking {
    fn scores(&self, layer: &LayerToPrune) -> Result<Tensor> {
        Ok((layer.gradient()? * layer.weight)?.neg()?)
    }
    fn needs_gradients(&self) -> bool {
        true
    }
    fn description(&self) -> String {
        "shrinking".to_owned()
    }
}

struct Pairs;

impl Granularity for Pairs {
    fn scores(&self, scores: Vec<f32>, _shape: &[usize]) -> Result<Vec<f32>> {
        Ok(scores.chunks(2).flat_map(|pair| vec![pair.iter().sum(); pair.len()]).collect())
    }
    fn description(&self) -> String {
        "pairs".to_owned()
    }
}

struct HalfAtOnce;

impl SparsitySchedule for HalfAtOnce {
    fn sparsity(&self, epoch: usize, ramp: usize, target: f64) -> f64 {
        if epoch < ramp { target / 2.0 } else { target }
    }
    fn description(&self) -> String {
        "half at once".to_owned()
    }
}

#[test]
fn pruning_of_ones_own_is_trained_saved_and_resumed() {
    let own = Pruning::new(0.5, 2).criterion(Shrinking).granularity(Pairs).schedule(HalfAtOnce);
    for scope in [PruneScope::Layer, PruneScope::Global] {
        let own = own.clone().scope(scope);
        check_resuming(
            || TestNet::new(None),
            |net, config| {
                let history = iterative_prune(net, &data(), config, &own)?;
                let zeros: Vec<f64> = history.epochs.iter().map(|epoch| epoch.sparsity).collect();
                assert!((zeros[1] - 0.5).abs() < 0.02 && zeros[1] == zeros[3], "{zeros:?}");
                let fc: Vec<f32> = net.fc.weight.flatten_all()?.to_vec1()?;
                assert!(fc.chunks(2).all(|pair| (pair[0] == 0.0) == (pair[1] == 0.0)), "{fc:?}");
                Ok(history)
            },
        );
    }
    let procedure = Procedure::of_pruning(&own);
    let method = "shrinking, pairs, per layer, half at once".to_owned();
    assert_eq!(procedure, Procedure::Pruning { method, sparsity: 0.5, ramp: 2 });
}

#[test]
fn gradients_for_a_criterion_leave_the_network_as_it_is() {
    let net = TestNet::new(None);
    let before = sha256_of_state(&state_dict(&net).unwrap());
    let mut trainer =
        Trainer::new(&net, &data(), &TrainConfig { save_to: None, ..config(Path::new("")) }).unwrap();
    trainer.next_epoch();
    let gradients = trainer.gradients(&net).unwrap();
    assert!(gradients.get(&net.conv.weight).is_some());
    assert_eq!(sha256_of_state(&state_dict(&net).unwrap()), before);
}

#[test]
fn the_courses_pruning_is_the_same_run_as_before() {
    let schedule = PruneSchedule { scope: PruneScope::Global, sparsity: 0.8, ramp: 10 };
    let recorded = r#"{"iterative_prune":{"scope":"global","sparsity":0.8,"ramp":10}}"#;
    for pruning in [Pruning::from(schedule), Pruning::new(0.8, 10).scope(PruneScope::Global)] {
        assert_eq!(serde_json::from_str::<Procedure>(recorded).unwrap(), Procedure::of_pruning(&pruning));
        assert_eq!(serde_json::to_string(&Procedure::of_pruning(&pruning)).unwrap(), recorded);
    }
}
