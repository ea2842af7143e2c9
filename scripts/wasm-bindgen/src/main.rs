//! Writes the JavaScript glue of a compiled module, with those options of the `wasm-bindgen` command that the build
//! uses.

use std::path::PathBuf;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

const USAGE: &str = "usage: hlswarm-wasm-bindgen INPUT.wasm --target web --out-name NAME --out-dir DIR [--omit-default-module-path]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let mut input = None;
    let mut out_dir = None;
    let mut out_name = None;
    let mut omit_default_module_path = false;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--target" => match value()?.as_str() {
                "web" => {}
                other => return Err(format!("--target {other} is not supported, only web\n{USAGE}")),
            },
            "--out-dir" => out_dir = Some(PathBuf::from(value()?)),
            "--out-name" => out_name = Some(value()?),
            "--omit-default-module-path" => omit_default_module_path = true,
            other if other.starts_with('-') => return Err(format!("unknown option {other}\n{USAGE}")),
            other => input = Some(PathBuf::from(other)),
        }
    }
    let input = input.ok_or(USAGE)?;
    let out_dir = out_dir.ok_or(USAGE)?;
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&input).typescript(true).omit_default_module_path(omit_default_module_path);
    if let Some(name) = &out_name {
        bindgen.out_name(name);
    }
    bindgen.web(true).map_err(|error| format!("{error:#}"))?;
    bindgen.generate(&out_dir).map_err(|error| format!("{}: {error:#}", input.display()))
}
