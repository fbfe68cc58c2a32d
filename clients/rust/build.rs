// Rust of the wire contract; needs protoc.
fn main() -> std::io::Result<()> {
    prost_build::compile_protos(&["../../proto/meltica/v1/event.proto"], &["../../proto"])
}
