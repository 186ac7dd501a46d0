// Objects, which Triple wraps in Hessian.
package plait.interop;

public interface TripleWrapped {
    String text(String value);
    Person older(Person person, int years);
    /** An exception that is declared comes as an object, and so does one that is not. */
    String refuse(String message) throws Refused;
    String fail(String message);
}
