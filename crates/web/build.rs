//! Finds the built pages, or puts some in their place that say how to build them.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    folder("dist", "GRIDWARD_UI_DIST", HEAD_END)?;
    folder("dist-home", "GRIDWARD_HOME_DIST", HOME)
}

/// Tells the compiler where a built page is.
fn folder(name: &str, variable: &str, placeholder: &str) -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let built = here.join("../../ui").join(name);
    println!("cargo::rerun-if-changed={}", built.display());
    let folder = if built.join("index.html").is_file() {
        // Each file by itself: a changed file does not change its folder's time.
        watch(&built)?;
        built
    } else {
        let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join(name);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("index.html"), placeholder)?;
        folder
    };
    println!("cargo::rustc-env={variable}={}", folder.display());
    Ok(())
}

fn watch(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        println!("cargo::rerun-if-changed={}", path.display());
        if path.is_dir() {
            watch(&path)?;
        }
    }
    Ok(())
}

const HEAD_END: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>Gridward</title>
<h1>The interface is not built into this program</h1>
<p>Run <code>make ui</code> and build the program again. The API works all the same: see
<a href=\"/api/v1/openapi.json\">its description</a>.</p>
</html>
";

const HOME: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>At home</title>
<h1>The page is not built into this program</h1>
<p>Run <code>make ui</code> and build the program again. The rest works all the same: see
<a href=\"/api/v1/openapi.json\">its description</a>.</p>
</html>
";
