//! The command line.

pub struct Options {
    pub bundle: String,
    pub recording: String,
    pub first: usize,
    pub inputs: usize,
    pub seed: u64,
    /// seconds of processor time one input may take
    pub deadline: usize,
    pub only: Option<usize>,
    pub trace: bool,
    /// the recorded calls as they were
    pub replay: bool,
    pub broken: String,
}

pub const USAGE: &str = "fuzz BUNDLE RECORDING [--inputs N] [--first N] [--seed N] [--deadline SECONDS]
    [--only N] [--trace] [--replay] [--break WHAT]
WHAT: use-after-free, overflow, hang, silence, end";

impl Options {
    pub fn parse(args: impl Iterator<Item = String>) -> Option<Options> {
        let mut options = Options {
            bundle: String::new(),
            recording: String::new(),
            first: 0,
            inputs: 100_000,
            seed: 1,
            deadline: 10,
            only: None,
            trace: false,
            replay: false,
            broken: String::new(),
        };
        let mut files = Vec::new();
        let mut args = args.skip(1);
        while let Some(word) = args.next() {
            let mut number = || args.next()?.parse::<usize>().ok();
            match word.as_str() {
                "--inputs" => options.inputs = number()?,
                "--first" => options.first = number()?,
                "--seed" => options.seed = number()? as u64,
                "--deadline" => options.deadline = number()?,
                "--only" => options.only = Some(number()?),
                "--trace" => options.trace = true,
                "--replay" => options.replay = true,
                "--break" => options.broken = args.next()?,
                _ => files.push(word),
            }
        }
        [options.bundle, options.recording] = files.try_into().ok()?;
        Some(options)
    }
}
