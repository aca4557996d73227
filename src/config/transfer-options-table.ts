import { z } from "zod";
import { endpointRuleSchema, parseEndpointRule, storageRuleSchema } from "../contract/transfer/storage-rule.ts";
import { ALLOWED_WAYS } from "../contract/transfer/worker-heartbeat.ts";
import { option, unsetOption } from "./agent-option.ts";
import { countValue, listValue, schemaValue } from "./option-value.ts";

const listenSchema = endpointRuleSchema.refine((text) => parseEndpointRule(text)?.trusted === false);

/** Of the agent's options those for transfers. */
export const TRANSFER_OPTIONS = {
  "transfer.storages": option(listValue(storageRuleSchema, "absolute directories, each with :ro, :wo or :rw"), [], {
    help: "Directories that transfers may read (`:ro`), write (`:wo`) or both (`:rw`), with all below them. None by default, and the box takes part in no transfer.",
  }),
  "transfer.listen": unsetOption(
    schemaValue(listenSchema, "an address with a port, for example 0.0.0.0:8470", "address:port"),
    {
      help: "Where other boxes bring and fetch the bytes of transfers. Without it this box dials, and two boxes of which neither listens meet in a router.",
    },
  ),
  "transfer.endpoints": option(
    listValue(endpointRuleSchema, "addresses with a port, with /trusted where nobody else is on that network"),
    [],
    {
      help: "How others reach transfer.listen, the best first: 10.0.0.5:8470, [fd00::5]:8470/trusted. Over a trusted one bytes go without TLS. Empty: transfer.listen itself, or each address of this box.",
    },
  ),
  "transfer.ways": option(listValue(z.enum(ALLOWED_WAYS), ALLOWED_WAYS.join(", ")), [...ALLOWED_WAYS], {
    help: "How bytes may come and go: `direct`, over connections between boxes, whoever dials; `router`, sealed through a router where no connection is to be had, which takes its bandwidth. Empty: within this box alone.",
  }),
  "transfer.maxStreams": option(countValue({ min: 1, max: 64 }), 4, {
    help: "Pieces of work of transfers at a time, each over a connection of its own. Over a long way (from 72 ms there and back) there are as many as fill 1 Gbit/s, up to twice this.",
  }),
  "transfer.maxRateMbit": unsetOption(countValue({ min: 1, max: 1_000_000 }), {
    help: "Mbit/s that all transfers of this box may take together, each way. Without it: as much as there is.",
  }),
} as const;
