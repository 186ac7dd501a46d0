// Answers with what it was asked.
package plait.interop;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

public class EchoService implements Echo {
    private final Set<String> noted = ConcurrentHashMap.newKeySet();

    public String text(String value) { return value; }
    public int number(int value) { return value; }
    public Map<String, Object> map(Map<String, Object> value) { return value; }
    public List<Object> list(List<Object> value) { return value; }
    public byte[] bytes(byte[] value) { return value; }

    public Person older(Person person, int years) {
        person.setAge(person.getAge() + years);
        return person;
    }

    public String fail(String message) throws Refused { throw new Refused(message); }

    public String sleep(int milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        return "slept";
    }

    public void note(String word) { noted.add(word); }
    public boolean noted(String word) { return noted.contains(word); }
}
