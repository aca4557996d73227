/**
 * How the player fetches a picture over a WebSocket. The library's own loader throws out of an event when it is ended before
 * its connection stands, where nobody can catch it; this one has no ears any more once it is ended.
 *
 * @param {object} mpegts the library
 */
export function socketLoaderOf({ BaseLoader, LoaderStatus, LoaderErrors }) {
  return class SocketLoader extends BaseLoader {
    constructor() {
      super("websocket-loader");
      this._needStash = true;
    }

    open({ url }) {
      const socket = new WebSocket(url);
      let received = 0;
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        this._status = LoaderStatus.kBuffering;
      };
      socket.onmessage = ({ data }) => {
        const from = received;
        received += data.byteLength;
        this._onDataArrival?.(data, from, received);
      };
      socket.onclose = () => {
        this._status = LoaderStatus.kComplete;
        this._onComplete?.(0, received - 1);
      };
      socket.onerror = () => {
        this._status = LoaderStatus.kError;
        this._onError?.(LoaderErrors.EXCEPTION, { code: -1, msg: "the connection failed" });
      };
      this._status = LoaderStatus.kConnecting;
      this.socket = socket;
    }

    abort() {
      const { socket } = this;
      this.socket = undefined;
      this._status = LoaderStatus.kComplete;
      if (socket === undefined) return;
      socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
    }

    destroy() {
      this.abort();
      super.destroy();
    }
  };
}
