import { z } from "zod";
import { REMOTE_KEY_PATTERN } from "./remote-key.ts";

export const remoteKeySchema = z
  .string()
  .regex(REMOTE_KEY_PATTERN, "must be an X25519 public key: 43 characters of base64url");
