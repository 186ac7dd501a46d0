// Protobuf's own messages, also in streams, as the peers of Triple have them; and where calls arrive.
package plait.interop;

import com.google.protobuf.StringValue;
import org.apache.dubbo.common.stream.StreamObserver;

public interface Triple {
    /** Both tell the name of the server. */
    String where();
    String elsewhere();
    StringValue echo(StringValue value);
    StringValue reject(StringValue message);
    /** Sleeps as many milliseconds. */
    StringValue nap(StringValue milliseconds);
    void count(StringValue upTo, StreamObserver<StringValue> answers);
    StreamObserver<StringValue> gather(StreamObserver<StringValue> answers);
    StreamObserver<StringValue> talk(StreamObserver<StringValue> answers);
}
