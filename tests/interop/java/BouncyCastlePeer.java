import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import javax.mail.Session;
import javax.mail.internet.MimeBodyPart;
import javax.mail.internet.MimeMessage;
import javax.mail.internet.MimeMultipart;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.RSAESOAEPparams;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cms.CMSAlgorithm;
import org.bouncycastle.cms.CMSAuthEnvelopedData;
import org.bouncycastle.cms.CMSAuthEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.Recipient;
import org.bouncycastle.cms.RecipientInfoGenerator;
import org.bouncycastle.cms.RecipientInformation;
import org.bouncycastle.cms.RecipientInformationStore;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.KeyTransRecipientInformation;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.cms.jcajce.JceCMSContentEncryptorBuilder;
import org.bouncycastle.cms.jcajce.JceKeyAgreeEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyAgreeRecipientId;
import org.bouncycastle.cms.jcajce.JceKeyAgreeRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JceKeyTransAuthEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyTransEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientId;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientInfoGenerator;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.mail.smime.SMIMEEnveloped;
import org.bouncycastle.mail.smime.SMIMEEnvelopedGenerator;
import org.bouncycastle.mail.smime.SMIMESigned;
import org.bouncycastle.mail.smime.SMIMESignedGenerator;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.util.Store;

/**
 * BouncyCastle as an S/MIME peer: one command a line on standard input, arguments separated by
 * tabs, one answer a line on standard output ("ok" or "error ...").
 *
 * sign IN OUT ALGORITHM clear|opaque KEY CERTIFICATE...    verify IN OUT
 * encrypt IN OUT CIPHER pkcs1|oaep|ecdh CERTIFICATE...     decrypt IN OUT KEY CERTIFICATE
 */
public class BouncyCastlePeer {
    static final String BC = "BC";

    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String answer = "ok";
            try {
                obey(line.split("\t"));
            } catch (Throwable fault) {
                answer = ("error " + fault).replace('\n', ' ').replace('\r', ' ');
            }
            System.out.println(answer);
            System.out.flush();
        }
    }

    static void obey(String[] words) throws Exception {
        byte[] in = Files.readAllBytes(Path.of(words[1]));
        byte[] out;
        switch (words[0]) {
            case "sign": out = sign(in, words); break;
            case "verify": out = verify(in); break;
            case "encrypt": out = encrypt(in, words); break;
            case "decrypt": out = decrypt(in, key(words[3]), certificate(words[4])); break;
            default: throw new IllegalArgumentException(words[0]);
        }
        Files.write(Path.of(words[2]), out);
    }

    static byte[] sign(byte[] in, String[] words) throws Exception {
        List<X509Certificate> chain = new ArrayList<>();
        for (int index = 6; index < words.length; index++) chain.add(certificate(words[index]));
        SMIMESignedGenerator generator = new SMIMESignedGenerator();
        generator.addSignerInfoGenerator(
                new JcaSimpleSignerInfoGeneratorBuilder()
                        .setProvider(BC)
                        .build(words[3], key(words[5]), chain.get(0)));
        generator.addCertificates(new JcaCertStore(chain));
        MimeBodyPart part = new MimeBodyPart(new ByteArrayInputStream(in));
        MimeMessage message = empty();
        if (words[4].equals("clear")) {
            MimeMultipart made = generator.generate(part);
            message.setContent(made, made.getContentType());
        } else {
            MimeBodyPart made = generator.generateEncapsulated(part);
            message.setContent(made.getContent(), made.getContentType());
        }
        return written(message);
    }

    static byte[] verify(byte[] in) throws Exception {
        MimeMessage message = new MimeMessage((Session) null, new ByteArrayInputStream(in));
        SMIMESigned signed =
                message.getContent() instanceof MimeMultipart
                        ? new SMIMESigned((MimeMultipart) message.getContent())
                        : new SMIMESigned(message);
        Store<X509CertificateHolder> certificates = signed.getCertificates();
        Collection<SignerInformation> signers = signed.getSignerInfos().getSigners();
        if (signers.isEmpty()) throw new SecurityException("no signer");
        for (SignerInformation signer : signers) {
            X509CertificateHolder holder =
                    (X509CertificateHolder) certificates.getMatches(signer.getSID()).iterator().next();
            if (!signer.verify(
                    new JcaSimpleSignerInfoVerifierBuilder().setProvider(BC).build(holder)))
                throw new SecurityException("signature does not verify");
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        if (message.getContent() instanceof MimeMultipart) {
            signed.getContent().writeTo(out);
        } else {
            new CMSSignedData(octets(message)).getSignedContent().write(out);
        }
        return out.toByteArray();
    }

    static byte[] encrypt(byte[] in, String[] words) throws Exception {
        List<RecipientInfoGenerator> recipients = new ArrayList<>();
        for (int index = 5; index < words.length; index++)
            recipients.add(recipient(words[4], certificate(words[index])));
        ASN1ObjectIdentifier cipher = cipher(words[3]);
        JceCMSContentEncryptorBuilder builder =
                new JceCMSContentEncryptorBuilder(cipher).setProvider(BC);
        MimeMessage message = empty();
        if (words[3].endsWith("-gcm")) {
            // This release's mail package makes no AuthEnvelopedData: its CMS package does.
            CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
            recipients.forEach(generator::addRecipientInfoGenerator);
            byte[] made =
                    generator
                            .generate(
                                    new CMSProcessableByteArray(in),
                                    (OutputAEADEncryptor) builder.build())
                            .getEncoded();
            message.setDataHandler(
                    new javax.activation.DataHandler(
                            new javax.mail.util.ByteArrayDataSource(
                                    made,
                                    "application/pkcs7-mime; smime-type=authEnveloped-data;"
                                            + " name=smime.p7m")));
            message.setHeader("Content-Transfer-Encoding", "base64");
        } else {
            SMIMEEnvelopedGenerator generator = new SMIMEEnvelopedGenerator();
            recipients.forEach(generator::addRecipientInfoGenerator);
            MimeBodyPart made =
                    generator.generate(
                            new MimeBodyPart(new ByteArrayInputStream(in)), builder.build());
            message.setContent(made.getContent(), made.getContentType());
        }
        return written(message);
    }

    static RecipientInfoGenerator recipient(String transport, X509Certificate certificate)
            throws Exception {
        if (transport.equals("ecdh") || certificate.getPublicKey().getAlgorithm().startsWith("EC")) {
            KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", BC);
            pairs.initialize(new ECGenParameterSpec("P-256"));
            KeyPair pair = pairs.generateKeyPair();
            return new JceKeyAgreeRecipientInfoGenerator(
                            CMSAlgorithm.ECDH_SHA256KDF,
                            pair.getPrivate(),
                            pair.getPublic(),
                            CMSAlgorithm.AES256_WRAP)
                    .addRecipient(certificate)
                    .setProvider(BC);
        }
        if (transport.equals("pkcs1"))
            return new JceKeyTransRecipientInfoGenerator(certificate).setProvider(BC);
        AlgorithmIdentifier digest =
                new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256, DERNull.INSTANCE);
        AlgorithmIdentifier oaep =
                new AlgorithmIdentifier(
                        PKCSObjectIdentifiers.id_RSAES_OAEP,
                        new RSAESOAEPparams(
                                digest,
                                new AlgorithmIdentifier(PKCSObjectIdentifiers.id_mgf1, digest),
                                RSAESOAEPparams.DEFAULT_P_SOURCE_ALGORITHM));
        return new JceKeyTransRecipientInfoGenerator(certificate, oaep).setProvider(BC);
    }

    static byte[] decrypt(byte[] in, PrivateKey key, X509Certificate certificate)
            throws Exception {
        MimeMessage message = new MimeMessage((Session) null, new ByteArrayInputStream(in));
        boolean agrees = key.getAlgorithm().startsWith("EC");
        boolean authenticated = message.getContentType().toLowerCase().contains("authenveloped");
        RecipientInformationStore recipients =
                authenticated
                        ? new CMSAuthEnvelopedData(octets(message)).getRecipientInfos()
                        : new SMIMEEnveloped(message).getRecipientInfos();
        RecipientInformation found =
                agrees
                        ? recipients.get(new JceKeyAgreeRecipientId(certificate))
                        : recipients.get(new JceKeyTransRecipientId(certificate));
        if (found == null) throw new SecurityException("not a recipient");
        return found.getContent(recipient(key, agrees, authenticated));
    }

    static Recipient recipient(PrivateKey key, boolean agrees, boolean authenticated) {
        if (agrees && authenticated)
            throw new UnsupportedOperationException("no AuthEnvelopedData by key agreement");
        if (agrees) return new JceKeyAgreeEnvelopedRecipient(key).setProvider(BC);
        if (authenticated) return new JceKeyTransAuthEnvelopedRecipient(key).setProvider(BC);
        return new JceKeyTransEnvelopedRecipient(key).setProvider(BC);
    }

    static ASN1ObjectIdentifier cipher(String name) {
        switch (name) {
            case "aes128-cbc": return CMSAlgorithm.AES128_CBC;
            case "aes192-cbc": return CMSAlgorithm.AES192_CBC;
            case "aes256-cbc": return CMSAlgorithm.AES256_CBC;
            case "aes128-gcm": return CMSAlgorithm.AES128_GCM;
            case "aes192-gcm": return CMSAlgorithm.AES192_GCM;
            case "aes256-gcm": return CMSAlgorithm.AES256_GCM;
            case "3des-cbc": return CMSAlgorithm.DES_EDE3_CBC;
            default: throw new IllegalArgumentException(name);
        }
    }

    static PrivateKey key(String path) throws Exception {
        PKCS8EncodedKeySpec octets = new PKCS8EncodedKeySpec(Files.readAllBytes(Path.of(path)));
        try {
            return KeyFactory.getInstance("RSA", BC).generatePrivate(octets);
        } catch (java.security.spec.InvalidKeySpecException notRsa) {
            return KeyFactory.getInstance("EC", BC).generatePrivate(octets);
        }
    }

    static X509Certificate certificate(String path) throws Exception {
        try (InputStream octets = Files.newInputStream(Path.of(path))) {
            return (X509Certificate)
                    CertificateFactory.getInstance("X.509", BC).generateCertificate(octets);
        }
    }

    static MimeMessage empty() {
        return new MimeMessage(Session.getInstance(new java.util.Properties()));
    }

    static byte[] octets(MimeMessage message) throws Exception {
        try (InputStream stream = message.getInputStream()) {
            return stream.readAllBytes();
        }
    }

    static byte[] written(MimeMessage message) throws Exception {
        message.saveChanges();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        message.writeTo((OutputStream) out);
        return out.toByteArray();
    }
}
