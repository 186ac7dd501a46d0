// Another interface of the same server.
package plait.interop;

public interface TripleOther {
    String where();
}
