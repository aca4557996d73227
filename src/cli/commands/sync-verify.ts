import { type Command, Option } from "commander";
import { AppError, messageOf } from "../../base/errors.ts";
import type { HubClient } from "../../client/hub-client.ts";
import { toAppError } from "../../contract/error-code.ts";
import { ticketKeysSchema } from "../../contract/fleet/router.ts";
import { toVerifyKey } from "../../contract/remote/ticket-key.ts";
import { readTimelessToken } from "../../contract/signed-token.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import { PRESERVED, PRIORITIES } from "../../contract/transfer/sync-request.ts";
import { type TransferReceipt, transferReceiptSchema } from "../../contract/transfer/transfer-receipt.ts";
import { isEqual } from "../../contract/transfer/tree-comparison.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addHubFlags, type HubFlags } from "../hub-session.ts";
import { printJson } from "../output.ts";
import { gather } from "../parse-values.ts";
import { readGivenFile } from "../read-given-file.ts";
import { parsePreserved, refuseByFlag, type TransferFlags, transferFromFlags } from "../transfer-from-flags.ts";
import { type GivenPlaces, openPlaces } from "../transfer-place.ts";
import { failureText, renderComparison } from "../transfer-views.ts";
import { watchToEnd } from "../watch-transfer.ts";

interface VerifyFlags
  extends HubFlags,
    Pick<TransferFlags, "id" | "include" | "exclude" | "priority" | "deadline" | "chunkSize"> {
  readonly compare?: string;
  readonly readback?: boolean;
  readonly wait: boolean;
  readonly receipt?: string;
  readonly receiptKeys?: string;
}

/** Holes are no difference. */
const COMPARED = PRESERVED.filter((one) => one !== "sparse");
/** As of `diff`. */
const EXIT = { equal: 0, differs: 1, trouble: 2 } as const;

export function addVerify(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("verify"))
    .description("compare a file or a tree with another one by hash, where each lies; nothing is written")
    .argument("<source>", "BOX:/PATH, or /PATH where only one box has it")
    .argument("<destination>", "the same of what should be a copy of it")
    .option("--include <pattern>", "only files like it; may be given several times", gather)
    .option("--exclude <pattern>", "no files like it; may be given several times", gather)
    .option(
      "--compare <list>",
      `what counts beside kind and content, some of ${COMPARED.join(",")}; all but owner and the attributes when left out`,
    )
    .option("--readback", "read from the disks, and not from memory")
    .option("--receipt <file>", "the receipt of a transfer: whether the destination is what it brought")
    .option("--receipt-keys <file>", "keys of the hub, as it told them then, for a receipt of long ago")
    .addOption(new Option("--priority <priority>", "before or after others").choices([...PRIORITIES]))
    .option("--chunk-size <mib>", "MiB of files that a worker is given at a time; 64 when left out")
    .option("--deadline <time>", "it fails when it is not done by then, such as 2h or 2026-01-15T10:00:00Z")
    .option("--id <id>", "an id of one's own; the same request under the same id is the same comparison")
    .option("--no-wait", "return at once; sluice sync show tells what came of it")
    .addHelpText(
      "after",
      `
Exit status: 0 equal · 1 they differ · 2 it could not be done or not all could be read

Examples:
  sluice sync verify north-1:/srv/recordings/day-1 archive:/archive/north-1/day-1
  sluice sync verify --compare mode,owner --exclude '*.tmp' north-1:/srv/data archive:/data`,
    )
    .action(async (source: string, destination: string, flags: VerifyFlags) =>
      finish(await runSyncVerify({ source, destination }, flags, context)),
    );
}

async function runSyncVerify(given: GivenPlaces, flags: VerifyFlags, context: CommandContext): Promise<number> {
  try {
    return await verify(given, flags, context);
  } catch (thrown) {
    if (context.signal.aborted) throw thrown;
    context.io.writeError(`sluice: ${toAppError(thrown).message}\n`);
    return EXIT.trouble;
  }
}

async function verify(given: GivenPlaces, flags: VerifyFlags, context: CommandContext): Promise<number> {
  const { io, signal, clock } = context;
  if (!flags.wait && flags.receipt !== undefined) {
    throw new AppError("invalid", "--receipt: given with --no-wait; allowed: one of them", { field: "--receipt" });
  }
  if (flags.receiptKeys !== undefined && flags.receipt === undefined) {
    throw new AppError("invalid", "--receipt-keys: given without --receipt; allowed: both of them", {
      field: "--receipt-keys",
    });
  }
  const { hub, places } = await openPlaces(given, flags, context);
  const receipt = flags.receipt === undefined ? undefined : await readReceipt(flags.receipt, flags, { hub, context });
  const { compare, readback } = flags;
  const asked = transferFromFlags(
    {
      ...flags,
      ...(readback === true ? { verify: "readback" as const } : {}),
    },
    places,
    clock.wallMs(),
  );
  const compared = compare === undefined ? {} : { preserve: parsePreserved(compare, "--compare", COMPARED) };
  const accepted = await hub.transfers.create({ ...asked, ...compared, mode: "verify" }, signal).catch(refuseByFlag);
  const id = accepted.request_id;
  if (!flags.wait) {
    if (flags.json === true) printJson(io, accepted);
    else io.write(`comparison ${id} is queued; sluice sync show ${id} --watch follows it\n`);
    return EXIT.equal;
  }
  const over = await watchToEnd(id, hub, context);
  return tell(over, receipt, { isJson: flags.json === true, context });
}

function tell(
  over: SyncProgress,
  receipt: TransferReceipt | undefined,
  { isJson, context: { io } }: { readonly isJson: boolean; readonly context: CommandContext },
): number {
  const { comparison, state, failures, failures_total, reason } = over;
  const isReceived = receipt === undefined || receipt.root === comparison?.destination_root_hash;
  if (isJson) printJson(io, receipt === undefined ? over : { ...over, receipt_matches: isReceived });
  else if (comparison !== undefined) io.write(renderComparison(comparison));
  if (!isJson && receipt !== undefined && comparison !== undefined) {
    const what = `what transfer ${receipt.rid} brought at ${new Date(receipt.iat * 1000).toISOString()}`;
    io.write(`receipt: the destination ${isReceived ? "is" : "is not"} ${what}\n`);
  }
  if (state !== "COMPLETED" || comparison === undefined) {
    for (const failure of failures) io.writeError(`sluice: ${failureText(failure)}\n`);
    if (failures_total > failures.length) io.writeError(`sluice: and ${failures_total - failures.length} more\n`);
    io.writeError(`sluice: ${reason}; sluice sync retry ${over.request_id} compares again\n`);
    return EXIT.trouble;
  }
  return isEqual(comparison) && isReceived ? EXIT.equal : EXIT.differs;
}

/** Throws `invalid` for one that no hub has signed, as far as is known. */
async function readReceipt(
  path: string,
  { receiptKeys }: Pick<VerifyFlags, "receiptKeys">,
  { hub, context }: { readonly hub: HubClient; readonly context: CommandContext },
): Promise<TransferReceipt> {
  const { path: given, text } = await readGivenFile(path, "--receipt", context);
  const { keys } =
    receiptKeys === undefined ? await hub.transfers.keys(context.signal) : await readKeys(receiptKeys, context);
  try {
    return readTimelessToken(text.trim(), transferReceiptSchema, {
      reader: "hub",
      what: "receipt",
      keyOf: (id) => {
        const key = keys.find(({ kid }) => kid === id);
        return key === undefined ? undefined : toVerifyKey(key);
      },
    });
  } catch (cause) {
    const allowed = "what sluice sync show TRANSFER --json has as receipt";
    throw new AppError("invalid", `--receipt: given ${given}: ${messageOf(cause)}; allowed: ${allowed}`, {
      field: "--receipt",
      cause,
    });
  }
}

async function readKeys(path: string, context: CommandContext) {
  const { text } = await readGivenFile(path, "--receipt-keys", context);
  try {
    return ticketKeysSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new AppError("invalid", `--receipt-keys: ${path} holds no keys; allowed: what GET /v1/routers/keys answers`, {
      field: "--receipt-keys",
      cause,
    });
  }
}
