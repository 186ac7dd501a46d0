// What the peers of Triple have: POJOs, which Triple wraps in Hessian, and protobuf's own messages, also in streams.
package plait.interop;

import com.google.protobuf.StringValue;
import org.apache.dubbo.common.stream.StreamObserver;

public interface Triple {
    String text(String value);
    Person older(Person person, int years);
    String fail(String message);
    String sleep(int milliseconds);
    StringValue echo(StringValue value);
    void count(StringValue upTo, StreamObserver<StringValue> answers);
    StreamObserver<StringValue> talk(StreamObserver<StringValue> answers);
}
