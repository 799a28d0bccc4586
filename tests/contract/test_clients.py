"""The contract as other people's clients see it: grpcurl, buf and Node."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from crmsync.v1 import session_service_pb2
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import CreateContactRequest
from crmsync.v1.sync_service_pb2 import QueueContactRequest
from crmsync_client import CrmsyncClient
from tests.contract.conftest import Reader, search_path
from tests.project import ROOT

pytestmark = pytest.mark.slow

BARE_PATH = "/usr/bin:/bin"  # a new terminal's: it knows nothing of the checkout
NODE_PACKAGES = ("@grpc/grpc-js@1.14.1", "@grpc/proto-loader@0.8.0")


def _needs(*programs: str, path: str = "") -> None:
    """Skip the test where a program is missing; fail it in continuous integration."""
    places = path or search_path()
    missing = [program for program in programs if not shutil.which(program, path=places)]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"needs {', '.join(missing)}")
    assert not missing


def readme_commands() -> str:
    """Return the README's block that is marked as run by the tests."""
    marked = re.search(
        r"<!-- These commands are run as they stand by the tests\. -->\n```sh\n(.*?)```",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )
    assert marked is not None
    return marked[1]


async def test_the_commands_of_the_readme_run_as_they_stand(reader: Reader) -> None:
    """In a new terminal, but for the port, which may be taken on the machine of the tests."""
    _needs("grpcurl", "crmsync-server", path=str(ROOT / ".venv/bin"))
    commands = readme_commands()
    assert "localhost:50051" in commands
    here = commands.replace("localhost:50051", f"localhost:{reader.port}")
    bash = ("bash", "-euo", "pipefail", "-c", here)
    printed = await reader.run(*bash, folder=ROOT, path=BARE_PATH)
    assert "crmsync.v1.ContactService" in printed
    assert "SESSION_STATE_SUCCEEDED" in printed
    assert "SYNC_STATUS_COMPLETE" in printed


@pytest.mark.parametrize("reflection", ["grpc-v1", "grpc-v1alpha"])
async def test_buf_curl_finds_the_contract_by_reflection(reader: Reader, reflection: str) -> None:
    """Old and new tools ask for it under different names."""
    service = f"http://127.0.0.1:{reader.port}/crmsync.v1.ContactService"
    command = ["buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    contact = {"contact": {"email": "ada@example.com", "firstName": "Ada"}}
    printed = await reader.run(
        *command,
        *("--reflect-protocol", reflection, "--data", json.dumps(contact)),
        f"{service}/CreateContact",
    )
    assert json.loads(printed)["contact"]["name"] == "Ada"


async def test_a_node_client_watches_a_session_to_its_end(reader: Reader, tmp_path: Path) -> None:
    """Streams behave for a client that shares no code with the server."""
    _needs("node", "npm")
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", *NODE_PACKAGES]
    await reader.run(*install, folder=tmp_path)
    (tmp_path / "contract.binpb").write_bytes(_descriptors())
    shutil.copy(Path(__file__).with_name("watch.mjs"), tmp_path)
    address = f"localhost:{reader.port}"
    session_id = await _queued(address)
    printed = await reader.run("node", "watch.mjs", address, session_id, folder=tmp_path)
    sessions = [json.loads(line) for line in printed.splitlines()]
    assert [session["id"] for session in sessions] == [session_id] * len(sessions)
    assert sessions[-1]["state"] == "SESSION_STATE_SUCCEEDED"
    assert sessions[-1]["progress"]["synced"] == "1"


async def _queued(address: str) -> str:
    """Queue a new contact for Brevo, and return the session's id."""
    async with CrmsyncClient(address) as crmsync:
        create = CreateContactRequest(contact=Contact(email="grace@example.com"))
        created = await crmsync.contacts.CreateContact(create)
        queue = QueueContactRequest(contact_id=created.contact.id, crm="brevo")
        return (await crmsync.sync.QueueContact(queue)).session.id


def _descriptors() -> bytes:
    """Return the contract with everything it imports, as protoc would write it."""
    found: dict[str, FileDescriptor] = {}

    def collect(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            collect(imported)
        found.setdefault(file.name, file)

    collect(session_service_pb2.DESCRIPTOR)
    files = descriptor_pb2.FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(files.file.add())
    return files.SerializeToString()
