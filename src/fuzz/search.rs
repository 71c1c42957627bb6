//! Replaying the corpus, and searching beyond it for as long as is asked for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};

use super::input::{Input, like};
use super::{TARGETS, Target};

/// Inputs that are tried beside the corpus in an ordinary run of the tests: a second for all targets.
const CASES_OF_A_TEST: u32 = 200;
/// Inputs between two looks at the clock.
const CASES_OF_A_ROUND: u32 = 50;
/// Inputs after which it is expected that everything has come of some.
const ENOUGH: u64 = 3_000;
/// The most time of a processor for one input, in a search: without optimisation, and on a slow machine, tens of times what the slowest takes.
const SLOW: Duration = Duration::from_secs(1);

/// What `make fuzz` asks for, by environment variables: the tests' own harness takes no words.
struct Asked {
    seconds: Option<u64>,
    seed: u64,
    target: String,
}

impl Asked {
    fn of_environment() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}: `{text}` is no whole number")))
        };
        let target = std::env::var("SKEG_FUZZ_TARGET").unwrap_or_default();
        assert!(target.is_empty() || TARGETS.contains(&&*target), "there is no target `{target}`; there are {}", TARGETS.join(", "));
        Self { seconds: number("SKEG_FUZZ_SECONDS"), seed: number("SKEG_FUZZ_SEED").unwrap_or(1), target }
    }

    /// How long each target that is asked for is searched.
    fn share(&self) -> Option<Duration> {
        let targets = if self.target.is_empty() { TARGETS.len() } else { 1 };
        self.seconds.map(|seconds| Duration::from_secs(seconds) / u32::try_from(targets).unwrap())
    }
}

/// What has come of how many inputs.
#[derive(Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn count(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }

    #[track_caller]
    fn require(&self, target: &Target, place: &str) {
        let missing: Vec<_> = target.expected.iter().filter(|expected| !self.0.contains_key(**expected)).collect();
        assert!(missing.is_empty(), "{place}: what came of no input: {missing:?}; what did:{self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| write!(f, " {what} {count}"))
    }
}

/// Replays the corpus of the target and searches beyond it.
pub fn run(name: &str, target: &Target) {
    let asked = Asked::of_environment();
    if !asked.target.is_empty() && asked.target != name {
        return;
    }
    let corpus = corpus(name);
    let mut tally = Tally::default();
    for (path, input) in &corpus {
        tally.count(catch_unwind(|| (target.check)(input)).unwrap_or_else(|panic| {
            println!("input: {}", path.display());
            resume_unwind(panic)
        }));
    }
    tally.require(target, &format!("tests/corpus/{name}"));
    let corpus = corpus.into_iter().map(|(_, input)| input).collect();
    search(name, target, corpus, &asked);
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn search(name: &str, target: &Target, corpus: Vec<Vec<u8>>, asked: &Asked) {
    let (share, began) = (asked.share(), Instant::now());
    let cases = if share.is_some() { CASES_OF_A_ROUND } else { CASES_OF_A_TEST };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 5_000, ..Config::default() };
    let seed = Sha256::digest(format!("{name} {}", asked.seed));
    let mut seeds = TestRunner::new_with_rng(config.clone(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let inputs = like(corpus, target.pieces);
    let (tally, slowest) = (RefCell::new(Tally::default()), Cell::new(Duration::ZERO));
    loop {
        // A runner runs its cases once.
        let round = TestRunner::new_with_rng(config.clone(), seeds.new_rng()).run(&inputs, |Input(input)| {
            let before = processor_time();
            let what = (target.check)(&input);
            let took = processor_time().saturating_sub(before);
            assert!(share.is_none() || took <= SLOW, "it takes {took:?} of a processor");
            slowest.set(slowest.get().max(took));
            tally.borrow_mut().count(what);
            Ok(())
        });
        match round {
            Ok(()) => {}
            Err(TestError::Fail(why, input)) => fail(name, asked.seed, why.message(), &input),
            Err(TestError::Abort(why)) => panic!("{name}: {why}"),
        }
        if share.is_none_or(|share| began.elapsed() >= share) {
            break;
        }
    }
    let (tally, slowest) = (tally.into_inner(), slowest.get().as_millis());
    let tried: u64 = tally.0.values().sum();
    println!("{name}: {tried} inputs of seed {} in {:.1} s, the slowest {slowest} ms:{tally}", asked.seed, began.elapsed().as_secs_f32());
    if tried >= ENOUGH {
        tally.require(target, name);
    }
}

/// Saves the input, where a build leaves what it makes, and says what to do with it.
fn fail(name: &str, seed: u64, why: &str, input: &Input) -> ! {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz").join(name);
    let file = folder.join(hex::encode(&Sha256::digest(&input.0)[..6]));
    let saved = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, &input.0));
    let place = saved.map_or_else(|error| format!("not saved, {error}"), |()| format!("saved as {}", file.display()));
    panic!("{name}, seed {seed}: {why}\ninput: {input:?}\n{place}: once it is mended, move it to tests/corpus/{name}");
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
