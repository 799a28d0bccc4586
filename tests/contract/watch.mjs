// Watches a session to its end and prints each state as a line of JSON.
//   node watch.mjs HOST:PORT SESSION_ID
// contract.binpb, beside it, has the contract's descriptors.
import { readFileSync } from "node:fs";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const [address, sessionId] = process.argv.slice(2);
const definition = protoLoader.loadFileDescriptorSetFromBuffer(readFileSync("contract.binpb"), {
  keepCase: true,
  longs: String,
  enums: String,
  oneofs: true,
});
const { SessionService } = grpc.loadPackageDefinition(definition).crmsync.v1;
const client = new SessionService(address, grpc.credentials.createInsecure());

const watching = client.WatchSession({ session_id: sessionId });
watching.on("data", (message) => {
  if (message.event === "session") {
    console.log(JSON.stringify(message.session));
  }
});
watching.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
watching.on("end", () => client.close());
