// The exception that the service declares.
package plait.interop;

public class Refused extends Exception {
    private static final long serialVersionUID = 1L;

    public Refused() { }

    public Refused(String message) { super(message); }
}
