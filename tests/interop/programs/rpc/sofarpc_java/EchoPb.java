// The service in the serialization protobuf, whose arguments and values are single messages.
package plait.interop;

import com.google.protobuf.StringValue;

public interface EchoPb {
    StringValue text(StringValue value);
    StringValue fail(StringValue message);
    StringValue sleep(StringValue milliseconds);
    StringValue note(StringValue word);
    StringValue noted(StringValue word);
}
