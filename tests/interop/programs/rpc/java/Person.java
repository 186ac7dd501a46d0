// An object of a class that both sides know.
package plait.interop;

import java.io.Serializable;
import java.util.List;

public class Person implements Serializable {
    private static final long serialVersionUID = 1L;
    private String name;
    private int age;
    private List<String> tags;

    public String getName() { return name; }
    public void setName(String value) { name = value; }
    public int getAge() { return age; }
    public void setAge(int value) { age = value; }
    public List<String> getTags() { return tags; }
    public void setTags(List<String> value) { tags = value; }
}
