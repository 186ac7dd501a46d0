// The service that every peer has, whatever its language.
package plait.interop;

import java.util.List;
import java.util.Map;

public interface Echo {
    String text(String value);
    int number(int value);
    Map<String, Object> map(Map<String, Object> value);
    List<Object> list(List<Object> value);
    byte[] bytes(byte[] value);
    Person older(Person person, int years);
    String fail(String message) throws Refused;
    String sleep(int milliseconds);
    void note(String word);
    boolean noted(String word);
}
