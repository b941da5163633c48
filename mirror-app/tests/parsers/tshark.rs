//! Wireshark's view of a capture.

use std::path::Path;
use std::process::Command;

/// The packets that pass `filter`, with the values of each of `fields`; [`None`], with a line that says so, where there is no tshark.
pub fn fields(capture: &Path, filter: &str, fields: &[&str]) -> Option<Vec<Vec<Vec<String>>>> {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("SKIPPED: tshark is not installed");
        return None;
    }
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-Y", filter, "-T", "fields", "-E", "aggregator=\u{1f}", "-r"]).arg(capture);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let values =
        |field: &str| field.split('\u{1f}').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    Some(text.lines().map(|line| line.split('\t').map(values).collect()).collect())
}

/// The bytes of a field that tshark shows in hexadecimal digits.
pub fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(|&byte| byte != b':').collect();
    digits.chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}
