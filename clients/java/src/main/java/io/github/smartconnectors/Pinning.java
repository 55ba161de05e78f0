package io.github.smartconnectors;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.github.smartconnectors.common.v1.BidRequest;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import java.util.regex.Pattern;

/**
 * Says a bid's request id in the metadata that a proxy in front of servers with a ledger each pins
 * by, so that every try of it reaches the same server. What the caller has set stays; an id that the
 * service refuses is left to the service.
 */
final class Pinning implements ClientInterceptor {
  private static final Pattern HEADER = Pattern.compile("[A-Za-z0-9_.-]{1,64}");

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    ClientCall<Q, A> call = next.newCall(method, options);
    return method.getType() == MethodDescriptor.MethodType.UNARY ? new Pinned<>(call) : call;
  }

  private static String idOf(Object request) {
    if (!(request instanceof Message message)) {
      return "";
    }
    FieldDescriptor field = message.getDescriptorForType().findFieldByName("bid");
    boolean bids =
        field != null && !field.isRepeated() && message.getField(field) instanceof BidRequest;
    return bids ? ((BidRequest) message.getField(field)).getRequestId() : "";
  }

  /** Begins with its request, since the metadata goes first and is not known before. */
  private static final class Pinned<Q, A> extends ForwardingClientCall<Q, A> {
    private final ClientCall<Q, A> call;
    private Listener<A> listener;
    private Metadata headers;
    private int requested;
    private boolean compressed = true;
    private boolean begun;

    Pinned(ClientCall<Q, A> call) {
      this.call = call;
    }

    @Override
    protected ClientCall<Q, A> delegate() {
      return call;
    }

    @Override
    public void start(Listener<A> answers, Metadata metadata) {
      listener = answers;
      headers = metadata;
    }

    @Override
    public void request(int count) {
      if (begun) {
        super.request(count);
      } else {
        requested += count;
      }
    }

    @Override
    public void setMessageCompression(boolean enabled) {
      compressed = enabled;
      if (begun) {
        super.setMessageCompression(enabled);
      }
    }

    @Override
    public void sendMessage(Q request) {
      String id = idOf(request);
      if (HEADER.matcher(id).matches() && !headers.containsKey(SmartConnectors.PIN)) {
        headers.put(SmartConnectors.PIN, id);
      }
      begin();
      super.sendMessage(request);
    }

    @Override
    public void cancel(String why, Throwable cause) {
      if (headers != null) {
        begin();
      }
      super.cancel(why, cause);
    }

    private void begin() {
      if (begun) {
        return;
      }
      begun = true;
      super.start(listener, headers);
      super.setMessageCompression(compressed);
      if (requested > 0) {
        super.request(requested);
      }
    }
  }
}
