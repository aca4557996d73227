import { create, type DescFile, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Health } from "../contract/proto/grpc/health/v1/health_pb.js";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from "../contract/proto/grpc/reflection/v1/reflection_pb.js";
import { SessionService } from "../contract/proto/sluice/router/v1/control_pb.js";
import { RouterService } from "../contract/proto/sluice/router/v1/router_pb.js";

const SERVICES = [RouterService, SessionService, Health, ServerReflection];
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** What this router serves, as its generated descriptors say. One answer to each question. Pure. */
export function answerReflection(question: Uint8Array): Uint8Array {
  const originalRequest = fromBinary(ServerReflectionRequestSchema, question);
  return toBinary(
    ServerReflectionResponseSchema,
    create(ServerReflectionResponseSchema, {
      validHost: originalRequest.host,
      originalRequest,
      messageResponse: answer(originalRequest.messageRequest),
    }),
  );
}

function answer(asked: ReturnType<typeof fromBinary<typeof ServerReflectionRequestSchema>>["messageRequest"]): Answer {
  switch (asked.case) {
    case "listServices":
      return { case: "listServicesResponse", value: { service: SERVICES.map(({ typeName }) => ({ name: typeName })) } };
    case "fileByFilename":
      return answerFile(
        allFiles().find((file) => file.proto.name === asked.value),
        `file ${asked.value}`,
      );
    case "fileContainingSymbol":
      return answerFile(
        allFiles().find((file) => symbolsOf(file).has(asked.value)),
        `symbol ${asked.value}`,
      );
    case "fileContainingExtension":
    case "allExtensionNumbersOfType":
      return fault(NOT_FOUND, "there are no extensions");
    default:
      return fault(UNIMPLEMENTED, "this question is not known");
  }
}

function answerFile(file: DescFile | undefined, what: string): Answer {
  if (file === undefined) return fault(NOT_FOUND, `there is no ${what.slice(0, 300)}`);
  const fileDescriptorProto = withImports([file]).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function fault(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

function allFiles(): DescFile[] {
  return withImports(SERVICES.map(({ file }) => file));
}

/** Each once, a file before what it imports. */
function withImports(files: readonly DescFile[]): DescFile[] {
  const found = new Set<DescFile>(files);
  for (const file of found) for (const dependency of file.dependencies) found.add(dependency);
  return [...found];
}

/** Full names of what the file defines: messages and enums at any depth, fields, values, services and methods. */
function symbolsOf(file: DescFile): Set<string> {
  const names = new Set<string>();
  for (const service of file.services) {
    names.add(service.typeName);
    for (const method of service.methods) names.add(`${service.typeName}.${method.name}`);
  }
  const messages = [...file.messages];
  const enums = [...file.enums];
  for (const message of messages) {
    names.add(message.typeName);
    for (const field of message.fields) names.add(`${message.typeName}.${field.name}`);
    messages.push(...message.nestedMessages);
    enums.push(...message.nestedEnums);
  }
  for (const each of enums) names.add(each.typeName);
  return names;
}
