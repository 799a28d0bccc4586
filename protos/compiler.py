"""protoc as this project calls it: with every import taken from an installed package.

No third-party .proto file lives in the tree. google/* ships as .proto files inside grpcio-tools and
googleapis-common-protos; buf/validate/validate.proto is rebuilt from protovalidate's descriptor.
"""

import importlib.metadata
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb  # its only copy of the descriptor

PROTOS = Path(__file__).parent
VALIDATE = "buf/validate/validate.proto"

# buf's image format extends FileDescriptorProto with a message in field 8042 whose field 1, a bool,
# says that the file is an import and therefore not to be linted: tag, length, tag, true.
BUF_IMPORT_MARK = b"\xd2\xf6\x03\x02\x08\x01"


class ProtocError(Exception):
    """protoc refused its input; it has already said why on standard error."""


def own_files(root: Path = PROTOS) -> list[str]:
    """Return this project's .proto files as protoc names them: relative to `root`, sorted."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.proto"))


def run(arguments: list[str], root: Path = PROTOS) -> None:
    """Run protoc on `root` with the third-party imports resolved.

    Raises:
        ProtocError: an input does not compile, or a plugin failed.
    """
    with tempfile.NamedTemporaryFile(suffix=".binpb") as imports:
        imports.write(_validate_descriptor().SerializeToString())
        imports.flush()
        search = [f"--proto_path={folder}" for folder in (root, *_include_folders())]
        status = protoc.main(
            ["protoc", *search, f"--descriptor_set_in={imports.name}", *arguments],
        )
    if status != 0:
        raise ProtocError


def build_image(root: Path = PROTOS) -> FileDescriptorSet:
    """Return `root` compiled, in the form buf reads: comments kept, imports marked as such."""
    own = own_files(root)
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch, "image.binpb")
        options = [f"--descriptor_set_out={compiled}", "--include_imports", "--include_source_info"]
        run([*options, *own], root)
        image = FileDescriptorSet.FromString(compiled.read_bytes())
    for file in image.file:
        if file.name not in own:
            file.MergeFromString(BUF_IMPORT_MARK)
    return image


def _include_folders() -> list[Path]:
    """Return the folders whose google/ holds .proto files."""
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    common = importlib.metadata.distribution("googleapis-common-protos")
    return [well_known, Path(str(common.locate_file("")))]


def _validate_descriptor() -> FileDescriptorSet:
    """Return protovalidate's own schema, carried over from its protobuf runtime to Google's."""
    file = FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    file.ClearField("options")  # only package names for other languages
    return FileDescriptorSet(file=[file])
